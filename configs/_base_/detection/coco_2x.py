# COCO 2017 for 180,000 iterations.
_base_ = 'coco_1x.py'
train_cfg = dict(max_iters=180000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', milestones=[120000, 160000], gamma=0.1, by_epoch=False),
]
