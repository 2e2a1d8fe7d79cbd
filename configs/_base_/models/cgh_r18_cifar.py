# CGH (arXiv 2308.13392) with split BN and the queue of MoCo's CIFAR-10 demo.
_base_ = '../views/weak_strong_cifar.py'
model = dict(
    type='CGH',
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
        out_indices=(2, 3),
    ),
    neck=dict(
        type='HypercolumnNeck',
        in_channels=(256, 512),
        mid_channels=512,
        hid_channels=1024,
        out_channels=128,
        norm_cfg=dict(type='SplitBN', num_splits=8),
    ),
    head=dict(type='RelationHead'),
    teacher=dict(momentum=0.99),
    queue=dict(length=4096, dims=(128, 128)),
    ramp_epochs=5,
)
