# Linear classification on a tenth of CIFAR-10, for networks 16 channels wide: CGH's ImageNet
# protocol. The 5,000 training images (the first 500 of each class) are those of pretraining.
#
#   python tools/train.py configs/benchmarks/linear_r18w16_cifar10_5k.py \
#     --pretrained CKPT --data-root DIR
#
# Results of pretraining on a tenth of CIFAR-10: docs/results/cifar10_5k.md.
_base_ = [
    '../_base_/datasets/cifar10_labelled.py',
    '../_base_/models/linear_r18_cifar.py',
    '../_base_/schedules/linear_cgh_100e.py',
    '../_base_/benchmark_runtime.py',
]
model = dict(
    data_preprocessor=dict(channels_last=True),  # faster on a CPU
    backbone=dict(stem_channels=16, base_channels=16),
    head=dict(in_channels=128),
)
global_batch_size = 256
train_dataloader = dict(dataset=dict(per_class=500))
