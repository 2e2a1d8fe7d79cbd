# BYOL-LoGo on BYOL's CIFAR-10 network.
_base_ = '../views/logo_cifar.py'
model = dict(
    type='BYOLLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(125.307, 122.961, 113.8575),
        std=(51.5865, 50.847, 51.255),
    ),
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        norm_cfg=dict(type='SyncBN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=256,
        num_layers=2,
        with_bias=True,
        with_last_bn=False,
    ),
    head=dict(
        type='LoGoHead',
        pull=dict(
            type='CosinePull',
            predictor=dict(
                type='NonLinearNeck',
                in_channels=256,
                hid_channels=2048,
                out_channels=256,
                num_layers=2,
                with_bias=True,
                with_last_bn=False,
                with_avg_pool=False,
            ),
        ),
        affinity=dict(type='Affinity', dim=256),
        # = 1e-4 / 6, as for SimSiam-LoGo: the paper has no BYOL-LoGo.
        lambda_ll=1.7e-5,
    ),
    teacher=dict(momentum=0.98, schedule='cosine'),
)
