# SimSiam-LoGo, ResNet-50, on SimSiam's ImageNet network (arXiv 2011.10566, section 4).
_base_ = '../views/logo.py'
model = dict(
    type='SimSiamLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    backbone=dict(type='ResNet', depth=50, norm_cfg=dict(type='SyncBN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=2048,
        num_layers=3,
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
