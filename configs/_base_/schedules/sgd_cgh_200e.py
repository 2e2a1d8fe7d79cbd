# SGD, five epochs of warm-up from zero and a cosine, both per iteration: CGH's recipe.
# There is no weight decay on norms and biases. The release exempts names with 'bn' or 'bias',
# so the gains of every `downsample.1` and of the hypercolumn's norm decay there.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_and_bias=dict(weight_decay=0.0)),
)
param_scheduler = [
    # not exactly zero, because MMEngine divides by the first factor
    dict(type='LinearLR', start_factor=1e-6, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=5, eta_min=0.0, convert_to_iter_based=True),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=200, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=256)
