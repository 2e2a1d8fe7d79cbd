# SGD and a cosine to zero, stepped per epoch: MoCo v2's recipe.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4),
)
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=200, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
