# COCO 2017 for 90,000 iterations of 16 images, with detectron2's numbers. MoCo, SimSiam, LEWEL
# and CGH report transfer with this schedule. mmdet's own 1x is 12 epochs (88,000) at one size.
_base_ = ['mmdet::_base_/datasets/coco_instance.py', 'fine_tuning.py']
backend_args = None
short_sides = (640, 672, 704, 736, 768, 800)
train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in short_sides],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    _delete_=True,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='CocoDataset',
        data_root='data/coco/',
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
train_cfg = dict(max_iters=90000, val_interval=15000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', milestones=[60000, 80000], gamma=0.1, by_epoch=False),
]
