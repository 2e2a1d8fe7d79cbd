# Linear classification, CIFAR ResNet-18, CIFAR-100: SimSiam's ImageNet protocol, LARS.
# It is for a network pretrained on CIFAR-10. Mean and deviation are those of CIFAR-10.
#
#   python tools/train.py configs/benchmarks/linear_simsiam_r18_cifar100.py \
#     --pretrained CKPT --data-root DIR
#
# Not run yet.
_base_ = [
    '../_base_/datasets/cifar100_labelled.py',
    '../_base_/models/linear_r18_cifar.py',
    '../_base_/schedules/linear_simsiam_90e.py',
    '../_base_/benchmark_runtime.py',
]
model = dict(head=dict(num_classes=100))
global_batch_size = 4096
