# Fine-tuning on 10 % of CIFAR-10's labels, 5,000 images, 16 channels wide: LEWEL's rates
# and epochs for ImageNet.
#
#   python tools/make_split.py DIR/train data/splits/cifar10_10p.txt --fraction .1
#   python tools/train.py configs/benchmarks/semisup_r18w16_cifar10_10p.py \
#     --pretrained CKPT --data-root DIR
#
# Results of pretraining on a tenth of CIFAR-10: docs/results/cifar10_5k.md.
_base_ = [
    '../_base_/datasets/cifar10_split.py',
    '../_base_/models/classifier_r18_cifar.py',
    '../_base_/schedules/semisup_lewel_10p_50e.py',
    '../_base_/benchmark_runtime.py',
]
model = dict(
    data_preprocessor=dict(channels_last=True),  # faster on a CPU
    backbone=dict(stem_channels=16, base_channels=16),
    head=dict(in_channels=128),
)
global_batch_size = 256
train_dataloader = dict(dataset=dict(listing='data/splits/cifar10_10p.txt'))
