# MoCo-LoGo on MoCo's CIFAR-10 network, with the release's two-layer projector.
_base_ = '../views/logo_cifar.py'
model = dict(
    type='MoCoLoGo',
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
    neck=dict(type='MoCoV2Neck', in_channels=512, hid_channels=512, out_channels=128),
    head=dict(
        type='LoGoHead',
        pull=dict(type='InfoNCEPull', temperature=0.1),
        affinity=dict(type='Affinity', dim=128),
        # = 5e-4 / 6: the paper sums the pull over 6 pairs, we average it.
        lambda_ll=8.3e-5,
    ),
    queue=dict(length=4096, dim=128),
    teacher=dict(momentum=0.99),
)
