# A detector of mmdet, trained from a backbone that --pretrained CKPT names: by iterations of
# 16 images, in detectron2's numbers. The scope is mmdet's; parts of ours say theirs.
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
    checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=2),
    pretrained=dict(type='PretrainedHook', _scope_='mmlogo'),
    provenance=dict(type='ProvenanceHook', _scope_='mmlogo'),
    throughput=dict(type='ThroughputHook', _scope_='mmlogo'),
)
log_processor = dict(by_epoch=False)
# SyncBN becomes an all-reduce BN of ours where the ranks are CPUs.
model_wrapper_cfg = dict(type='mmlogo.AnyDeviceDataParallel')
randomness = dict(seed=0)
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
# Without a name, MMEngine gives it the run's: two runs of one process log apart.
visualizer = dict(_delete_=True, type='DetLocalVisualizer', vis_backends=vis_backends)
