# CGH's fine-tuning (arXiv 2308.13392, its release), on 1 and on 10 per cent: SGD, steps,
# no weight decay, the new layer at 0.02 and the trunk at 0.005.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr=0.005)}),
)
param_scheduler = dict(type='MultiStepLR', milestones=[30, 60], gamma=0.1, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=70, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
