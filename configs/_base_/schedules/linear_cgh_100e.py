# CGH's linear protocol (arXiv 2308.13392, its release): SGD, a cosine per iteration.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=0.0),
)
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, convert_to_iter_based=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
