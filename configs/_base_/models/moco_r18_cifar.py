# MoCo as in FAIR's CIFAR-10 demo: a projector of one linear layer, split BN in both encoders.
_base_ = '../views/moco_v2_pair_cifar.py'
model = dict(
    type='MoCo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(125.307, 122.961, 113.8575),
        std=(51.5865, 50.847, 51.255),
    ),
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        norm_cfg=dict(type='SplitBN', num_splits=8),
        zero_init_residual=False,
    ),
    neck=dict(
        type='LinearNeck',
        in_channels=512,
        out_channels=128,
        gap_dim=2,
        norm_cfg=None,
        act_cfg=None,
    ),
    head=dict(type='ContrastHead', temperature=0.1),
    queue=dict(length=4096, dim=128),
    teacher=dict(momentum=0.99),
)
