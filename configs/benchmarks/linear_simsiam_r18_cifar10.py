# Linear classification, CIFAR ResNet-18, CIFAR-10: SimSiam's ImageNet protocol, LARS at
# 0.1 per 256 images. The paper gives no other protocol for CIFAR.
#
#   python tools/train.py configs/benchmarks/linear_simsiam_r18_cifar10.py \
#     --pretrained CKPT --data-root DIR
#
# Not run yet.
_base_ = [
    '../_base_/datasets/cifar10_labelled.py',
    '../_base_/models/linear_r18_cifar.py',
    '../_base_/schedules/linear_simsiam_90e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 4096
