# As the pretraining runs, on weights that --pretrained CKPT names.
_base_ = 'default_runtime.py'
default_hooks = dict(
    pretrained=dict(type='PretrainedHook'),
    # there are no views to compare, and a classifier of its own
    collapse=None,
    online_probe=None,
)
