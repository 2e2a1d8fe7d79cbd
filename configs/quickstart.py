# SimSiam-LoGo on tiles of photographs that come with scikit-image and scikit-learn.
_base_ = ['_base_/default_runtime.py']

colours = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.2)
model = dict(
    type='SimSiamLoGo',
    data_preprocessor=dict(
        type='MultiCropPreprocessor',
        mean=(125.0, 123.0, 114.0),
        std=(52.0, 51.0, 51.0),
        channels_last=True,
        views=dict(
            global_views=dict(role='global', count=2, size=32, scale=(0.4, 1.0), **colours),
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
        lambda_ll=1.7e-5,
    ),
)

train_dataloader = dict(
    batch_size=128,
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
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        custom_keys={
            'head.pull.predictor': dict(hold_lr=True),
            'head.affinity': dict(hold_lr=True, lr=0.015, weight_decay=1e-4),
        }
    ),
)
param_scheduler = dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True)
train_cfg = dict(by_epoch=True, max_epochs=12, val_interval=4)
default_hooks = dict(
    checkpoint=dict(interval=-1),  # the last one only
    progress=dict(type='ProgressHook'),
)
