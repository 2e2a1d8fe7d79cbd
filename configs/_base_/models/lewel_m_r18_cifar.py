# LEWEL_M, a reconstruction, with the settings of MoCo's CIFAR-10 demo.
_base_ = '../views/moco_v2_pair_cifar.py'
model = dict(
    type='LEWELM',
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
        type='CoupledNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=256,
        num_groups=4,
        norm_cfg=dict(type='SplitBN', num_splits=8),
    ),
    head=dict(type='AlignedContrastHead', temperature=0.1),
    teacher=dict(momentum=0.99),
    queue=dict(length=4096, dims=(256, 256)),
    enqueue='random',
)
