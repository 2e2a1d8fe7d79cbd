# MoCo-LoGo on a tenth of CIFAR-10, 16 channels wide: small enough for two CPU cores.
# The 5,000 training images (the first 500 of each class) are also the k-NN bank. All
# 10,000 test images are queries.
#
#   python tools/train.py configs/moco_logo_r18w16_cifar10_5k.py --amp --data-root DIR
#
# Gave 41.3 / 50.4 / 49.5 % k-NN at k 1 / 20 / 200 in 39 CPU minutes, seed 0, commit
# c1aefef: docs/results/cifar10_5k.md.
_base_ = 'moco_logo_r18_cifar10.py'
model = dict(
    data_preprocessor=dict(
        # local crops of half the side have a quarter of the cost
        views=dict(global_views=dict(scale=(0.2, 1.0)), local_views=dict(size=16)),
    ),
    backbone=dict(stem_channels=16, base_channels=16),
    # MoCo's own projector, one linear layer. With the release's two layers without BN all
    # embeddings became one vector in the first steps of this run
    # (docs/results/cifar10_5k.md).
    neck=dict(
        _delete_=True,
        type='LinearNeck',
        in_channels=128,
        out_channels=128,
        gap_dim=2,
        norm_cfg=None,
        act_cfg=None,
    ),
)
global_batch_size = 64
train_dataloader = dict(dataset=dict(per_class=500))
bank_dataloader = dict(dataset=dict(per_class=500))
train_cfg = dict(max_epochs=60, val_interval=10)
auto_scale_lr = dict(base_batch_size=64)
