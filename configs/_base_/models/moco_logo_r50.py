# MoCo-LoGo, ResNet-50, on MoCo v2's network (arXiv 2003.04297). BatchNorm is per process,
# and keys are shuffled among the processes. So it needs more than one process, or SplitBN.
_base_ = '../views/logo.py'
model = dict(
    type='MoCoLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
    ),
    backbone=dict(
        type='ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False
    ),
    neck=dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128),
    head=dict(
        type='LoGoHead',
        pull=dict(type='InfoNCEPull', temperature=0.2),
        affinity=dict(type='Affinity', dim=128),
        # = 5e-4 / 6: the paper sums the pull over 6 pairs, we average it.
        lambda_ll=8.3e-5,
    ),
    queue=dict(length=65536, dim=128),
    teacher=dict(momentum=0.999),
)
