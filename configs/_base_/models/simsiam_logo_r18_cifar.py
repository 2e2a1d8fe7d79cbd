# SimSiam-LoGo on SimSiam's CIFAR-10 network.
_base_ = '../views/logo_cifar.py'
model = dict(
    type='SimSiamLoGo',
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
        num_layers=2,
        with_last_bn_affine=False,
    ),
    head=dict(
        type='LoGoHead',
        pull=dict(
            type='CosinePull',
            predictor=dict(
                type='NonLinearNeck',
                in_channels=2048,
                hid_channels=512,
                out_channels=2048,
                with_avg_pool=False,
                with_last_bn=False,
                with_last_bias=True,
            ),
        ),
        affinity=dict(type='Affinity', dim=2048),
        # = 1e-4 / 6: the paper sums the pull over 6 pairs, we average it.
        lambda_ll=1.7e-5,
    ),
)
