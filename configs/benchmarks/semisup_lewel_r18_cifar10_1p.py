# Fine-tuning on 1 % of CIFAR-10's labels, 500 images, CIFAR ResNet-18: LEWEL's rates
# and epochs for ImageNet.
#
#   python tools/make_split.py DIR/train data/splits/cifar10_1p.txt --fraction .01
#   python tools/train.py configs/benchmarks/semisup_lewel_r18_cifar10_1p.py \
#     --pretrained CKPT --data-root DIR
#
# Not run yet.
_base_ = [
    '../_base_/datasets/cifar10_split.py',
    '../_base_/models/classifier_r18_cifar.py',
    '../_base_/schedules/semisup_lewel_1p_50e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 256
