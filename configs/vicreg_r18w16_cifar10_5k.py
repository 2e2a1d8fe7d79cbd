# VICReg on a tenth of CIFAR-10, 16 channels wide: small enough for two CPU cores.
# The 5,000 training images (the first 500 of each class) are also the k-NN bank. All
# 10,000 test images are queries.
#
#   python tools/train.py configs/vicreg_r18w16_cifar10_5k.py --amp --data-root DIR
_base_ = 'vicreg_r18_cifar10.py'
model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=128, hid_channels=1024, out_channels=1024),
)
global_batch_size = 64
train_dataloader = dict(dataset=dict(per_class=500))
bank_dataloader = dict(dataset=dict(per_class=500))
train_cfg = dict(max_epochs=60, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
# 0.075 gave the same in 15 epochs.
optim_wrapper = dict(optimizer=dict(lr=0.3))
