# SimSiam's linear protocol (arXiv 2011.10566, its release): LARS, 0.1 per 256
# images, a cosine per epoch, no weight decay. The rate is for a batch of 4,096.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=1.6, momentum=0.9, weight_decay=0.0, eta=0.001),
)
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=90, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=4096)
