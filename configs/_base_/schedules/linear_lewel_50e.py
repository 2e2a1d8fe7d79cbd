# LEWEL's linear protocol (arXiv 2203.14898, its release): SGD, steps.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.4, momentum=0.9, weight_decay=0.0),
)
param_scheduler = dict(type='MultiStepLR', milestones=[30, 40], gamma=0.1, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=50, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
