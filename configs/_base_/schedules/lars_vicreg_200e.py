# LARS, ten epochs of warm-up per iteration, a cosine per epoch. VICReg's recipe (arXiv
# 2105.04906, section 4.2) has this form with a base rate of 0.2 per 256 images and a weight
# decay of 1e-6; the values here are for CIFAR.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=0.6, momentum=0.9, weight_decay=1e-4, eta=0.02),
    paramwise_cfg=dict(
        norm_and_bias=dict(weight_decay=0.0, lars_exclude=True),
        custom_keys={
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(
                hold_lr=True, lr=0.06, weight_decay=1e-4, lars_exclude=True
            ),
        },
    ),
)
param_scheduler = [
    dict(type='WarmUpLR', end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, eta_min=0.0, by_epoch=True),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=200, val_interval=10)
auto_scale_lr = dict(enable=False, base_batch_size=512)
