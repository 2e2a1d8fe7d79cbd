# What every run has: hooks, log, device, seed.
default_scope = 'mmlogo'

# A dict, so that an inheriting config can change one hook and keep the rest.
default_hooks = dict(
    runtime_info=dict(type='StepInfoHook'),
    timer=dict(type='IterTimerHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    logger=dict(type='LoggerHook', interval=20),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='DurableCheckpointHook', interval=10, max_keep_ckpts=2),
    views=dict(type='ShareViewsHook'),
    memory_format=dict(type='MemoryFormatHook'),
    clock=dict(type='ClockHook'),
    finite=dict(type='FiniteHook'),
    bounded_log=dict(type='BoundedLogHook'),
    interrupt=dict(type='InterruptHook'),
    start=dict(type='StartReportHook'),
    provenance=dict(type='ProvenanceHook'),
    bad_samples=dict(type='BadSamplesHook'),
    online_probe=dict(type='OnlineProbeHook'),
    collapse=dict(type='CollapseHook'),
    throughput=dict(type='ThroughputHook'),
    validate_first=dict(type='ValidateFirstHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# On CPU processes SyncBN is replaced by our BatchNorm with an all-reduce. The name has its
# scope, because the runner looks it up at the root of the registries.
model_wrapper_cfg = dict(type='mmlogo.AnyDeviceDataParallel')
vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(window_size=20)
randomness = dict(seed=0)
log_level = 'INFO'
load_from = None
resume = False
