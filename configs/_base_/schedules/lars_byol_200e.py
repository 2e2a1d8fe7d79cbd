# LARS, ten epochs of warm-up per iteration, a cosine per epoch: LEWEL's EMAN recipe.
# The rate is for a batch of 1,024. Norms and biases: plain SGD, no weight decay.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=3.6, momentum=0.9, weight_decay=1.5e-6, eta=0.001),
    paramwise_cfg=dict(norm_and_bias=dict(weight_decay=0.0, lars_exclude=True)),
)
param_scheduler = [
    dict(type='WarmUpLR', end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, eta_min=0.0, by_epoch=True),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=200, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=1024)
