# CGH (arXiv 2308.13392): BatchNorm is per process,
# and keys are shuffled among the processes.
_base_ = '../views/weak_strong.py'
model = dict(
    type='CGH',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        out_indices=(2, 3),
        norm_cfg=dict(type='BN'),
        zero_init_residual=False,
    ),
    neck=dict(
        type='HypercolumnNeck',
        in_channels=(1024, 2048),
        mid_channels=2048,
        hid_channels=4096,
        out_channels=512,
        norm_cfg=dict(type='BN'),
    ),
    head=dict(type='RelationHead'),
    teacher=dict(momentum=0.999),
    queue=dict(length=131072, dims=(512, 512)),
    ramp_epochs=5,
)
