# SimSiam-LoGo on a tenth of CIFAR-10, 16 channels wide: small enough for two CPU cores.
# The 5,000 training images (the first 500 of each class) are also the k-NN bank. All
# 10,000 test images are queries.
#
#   python tools/train.py configs/simsiam_logo_r18w16_cifar10_5k.py --amp --data-root DIR
#
# Gave 34.5 / 42.5 / 40.2 % k-NN at k 1 / 20 / 200 in 27 CPU minutes, seed 0, commit
# c1aefef: docs/results/cifar10_5k.md.
_base_ = 'simsiam_logo_r18_cifar10.py'
model = dict(
    data_preprocessor=dict(
        channels_last=True,  # faster on a CPU
        # SimSiam's global crops; local crops of half the side have a quarter of the cost
        views=dict(global_views=dict(scale=(0.2, 1.0)), local_views=dict(size=16)),
    ),
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=128, hid_channels=512, out_channels=512),
    head=dict(
        pull=dict(predictor=dict(in_channels=512, hid_channels=128, out_channels=512)),
        affinity=dict(dim=512),
    ),
)
global_batch_size = 64
train_dataloader = dict(dataset=dict(per_class=500))
bank_dataloader = dict(dataset=dict(per_class=500))
train_cfg = dict(max_epochs=60, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
