# A detector of mmdet, trained from a backbone that --pretrained CKPT names, with detectron2's
# numbers: iterations of 16 images. The default scope is mmdet's, so parts of mmlogo have
# `_scope_`.
_base_ = 'mmdet::_base_/default_runtime.py'
global_batch_size = 16
train_cfg = dict(type='IterBasedTrainLoop')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    # detectron2 does not decay the norms that are now trained
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(
    checkpoint=dict(
        type='DurableCheckpointHook',
        _scope_='mmlogo',
        by_epoch=False,
        interval=5000,
        max_keep_ckpts=2,
    ),
    finite=dict(type='FiniteHook', _scope_='mmlogo'),
    interrupt=dict(type='InterruptHook', _scope_='mmlogo'),
    pretrained=dict(type='PretrainedHook', _scope_='mmlogo'),
    provenance=dict(type='ProvenanceHook', _scope_='mmlogo'),
    throughput=dict(type='ThroughputHook', _scope_='mmlogo'),
)
log_processor = dict(by_epoch=False)
# On CPU processes SyncBN is replaced by our BatchNorm with an all-reduce.
model_wrapper_cfg = dict(type='mmlogo.AnyDeviceDataParallel')
randomness = dict(seed=0)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
# It has no name, so MMEngine gives it that of the run. Two runs of one process then have
# logs of their own.
visualizer = dict(_delete_=True, type='DetLocalVisualizer', vis_backends=vis_backends)
