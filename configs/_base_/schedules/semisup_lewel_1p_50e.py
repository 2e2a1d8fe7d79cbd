# LEWEL's fine-tuning on 1 per cent of the labels (arXiv 2203.14898, its release): SGD,
# steps, the new layer at 1.0 and the trunk at 1e-4.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=1.0, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr=1e-4)}),
)
param_scheduler = dict(type='MultiStepLR', milestones=[30, 40], gamma=0.1, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=50, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
