# CGH on a tenth of CIFAR-10, 16 channels wide: small enough for two CPU cores.
# The 5,000 training images (the first 500 of each class) are also the k-NN bank. All
# 10,000 test images are queries.
#
#   python tools/train.py configs/cgh_r18w16_cifar10_5k.py --amp --data-root DIR
#
# Gave 29.9 / 36.9 / 34.0 % k-NN at k 1 / 20 / 200, seed 0, commit b3b1a3b:
# docs/results/cifar10_5k.md.
_base_ = 'cgh_r18_cifar10.py'
model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=(64, 128), mid_channels=128, hid_channels=256),
)
global_batch_size = 64
train_dataloader = dict(dataset=dict(per_class=500))
bank_dataloader = dict(dataset=dict(per_class=500))
train_cfg = dict(max_epochs=60, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
