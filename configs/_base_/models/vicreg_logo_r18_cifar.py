# VICReg-LoGo on VICReg's expander (arXiv 2105.04906, section 4.2), narrower for CIFAR.
_base_ = '../views/logo_cifar.py'
model = dict(
    type='VICRegLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(125.307, 122.961, 113.8575),
        std=(51.5865, 50.847, 51.255),
    ),
    backbone=dict(type='ResNet_CIFAR', depth=18, norm_cfg=dict(type='SyncBN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=2048,
        num_layers=3,
        with_last_bn=False,
    ),
    head=dict(
        type='LoGoHead',
        pull=dict(type='VICRegPull'),
        affinity=dict(type='Affinity', dim=2048),
        # There is no paper's value. At this fraction the authors' release of MoCo-LoGo
        # clips the push.
        lambda_ll=0.0,
        push_ratio=0.015,
    ),
)
