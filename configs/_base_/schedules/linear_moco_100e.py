# MoCo's linear protocol (arXiv 1911.05722, section 4.1): SGD, a rate of 30, steps.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=30.0, momentum=0.9, weight_decay=0.0),
)
param_scheduler = dict(type='MultiStepLR', milestones=[60, 80], gamma=0.1, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
