# LEWEL_M, a reconstruction on MoCo v2: BatchNorm is per process,
# and keys are shuffled among the processes.
_base_ = '../views/moco_v2_pair.py'
model = dict(
    type='LEWELM',
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
    head=dict(type='AlignedContrastHead', temperature=0.2),
    teacher=dict(momentum=0.999),
    queue=dict(length=65536, dims=(256, 256)),
    enqueue='random',
)
