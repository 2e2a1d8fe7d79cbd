# Linear classification, CIFAR ResNet-18, CIFAR-100: SimSiam's ImageNet protocol, LARS.
# For a network pretrained on CIFAR-10, whose mean and deviation it keeps.
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
