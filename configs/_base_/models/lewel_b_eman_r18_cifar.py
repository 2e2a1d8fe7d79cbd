# LEWEL_B with EMAN (arXiv 2203.14898) on the CIFAR ResNet-18.
_base_ = '../views/byol_pair_cifar.py'
# torch's own initial weights. The release's, Kaiming normal with fan-out, are 3.5 times larger
# in the last layers. With the release's LARS that makes no difference. With SGD the predictor
# is then too slow, and the features fall into a few directions within a hundred steps
# (docs/results/cifar10_5k.md).
init_cfg = dict(
    type='Kaiming',
    layer='Conv2d',
    a=5**0.5,
    mode='fan_in',
    nonlinearity='leaky_relu',
    distribution='uniform',
)
model = dict(
    type='LEWELB',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(125.307, 122.961, 113.8575),
        std=(51.5865, 50.847, 51.255),
    ),
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        norm_cfg=dict(type='BN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='CoupledNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=256,
        num_groups=4,
        norm_cfg=dict(type='BN'),
        init_cfg=init_cfg,
    ),
    head=dict(
        type='AlignedPredictHead',
        predictor=dict(
            type='TokenMLP',
            in_channels=256,
            hid_channels=2048,
            out_channels=256,
            norm_cfg=dict(type='BN'),
            init_cfg=init_cfg,
        ),
    ),
    teacher=dict(momentum=0.98, schedule='cosine', statistics='averaged'),
)
