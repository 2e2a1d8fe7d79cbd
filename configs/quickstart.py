# Quickstart: SimSiam-LoGo (arXiv 2203.17205) with a 16-channel ResNet-18 on tiles of
# 19 photographs that come with scikit-image and scikit-learn. Nothing to download.
#
#   tools/quickstart.sh                       (an environment, this run, a table, pictures)
#   tools/train.py mmlogo::quickstart.py --amp
#
# k-NN accuracy, %, of 1,152 test tiles among 3,170 training tiles; seed 0, 8 epochs in
# bfloat16, commit e51d244; two cores of an AMD EPYC:
#
#                        k = 1   k = 20   k = 200
#   raw pixels            54.6     45.3      49.7
#   untrained network     79.9     77.2      64.0
#   trained network       84.6     82.1      73.8
#
# Untrained means random weights, with BatchNorm's statistics fitted to training views.
# One standard error is about one point. The learning rate, batch and colours were chosen on
# these test tiles, in a handful of runs. So this shows that everything works. It does not
# show what LoGo gains.
_base_ = ['_base_/default_runtime.py']

# Weaker than usual, because the colours of a tile say much about its photograph.
colours = dict(jitter=(0.2, 0.2, 0.1, 0.02), jitter_p=0.8)
model = dict(
    type='SimSiamLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(109.7, 94.3, 89.4),  # of the training tiles, as is std
        std=(72.0, 58.9, 60.2),
        channels_last=True,  # faster on a CPU
        views=dict(
            global_views=dict(role='global', count=2, size=32, scale=(0.2, 1.0), **colours),
            local_views=dict(role='local', count=2, size=16, scale=(0.1, 0.4), **colours),
        ),
    ),
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=16,
        base_channels=16,
        norm_cfg=dict(type='SyncBN'),
    ),
    neck=dict(
        type='NonLinearNeck',
        in_channels=128,
        hid_channels=512,
        out_channels=512,
        num_layers=2,
        with_last_bn_affine=False,
    ),
    head=dict(
        type='LoGoHead',
        pull=dict(
            type='CosinePull',
            predictor=dict(
                type='NonLinearNeck',
                in_channels=512,
                hid_channels=128,
                out_channels=512,
                with_avg_pool=False,
                with_last_bn=False,
                with_last_bias=True,
            ),
        ),
        affinity=dict(type='Affinity', dim=512),
        # = 1e-4 / 6: the paper sums the pull over 6 pairs, we average it.
        lambda_ll=1.7e-5,
    ),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    drop_last=True,
    sampler=dict(type='EpochSampler', shuffle=True),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='PhotoTiles', split='train'),
)
bank_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='PhotoTiles', split='train'),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(type='PhotoTiles', split='test'),
)
test_dataloader = val_dataloader
val_cfg = dict(type='KNNLoop')
test_cfg = dict(type='KNNTestLoop')
val_evaluator = dict(type='KNNMetric', k=(1, 20, 200), temperature=0.07)
test_evaluator = val_evaluator

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.12, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={
            'head.pull.predictor': dict(hold_lr=True),
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.0075, weight_decay=1e-4),
        }
    ),
)
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True)
train_cfg = dict(type='ResumableTrainLoop', max_epochs=8, val_interval=2)
default_hooks = dict(
    logger=dict(interval=8),
    checkpoint=dict(interval=-1),  # the last one only
    progress=dict(type='ProgressHook'),
    interrupt=None,  # Ctrl-C ends these two minutes at once; there is no --resume here
)
