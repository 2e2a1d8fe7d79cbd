# LEWEL_B with EMAN (arXiv 2203.14898): BatchNorm is per process, and the teacher uses the
# average of the student's statistics.
_base_ = '../views/byol_pair.py'
model = dict(
    type='LEWELB',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    backbone=dict(
        type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False
    ),
    neck=dict(
        type='CoupledNeck',
        in_channels=2048,
        hid_channels=4096,
        out_channels=256,
        num_groups=4,
        norm_cfg=dict(type='BN'),
    ),
    head=dict(
        type='AlignedPredictHead',
        predictor=dict(
            type='TokenMLP',
            in_channels=256,
            hid_channels=4096,
            out_channels=256,
            norm_cfg=dict(type='BN'),
        ),
    ),
    teacher=dict(momentum=0.98, schedule='cosine', statistics='averaged'),
)
