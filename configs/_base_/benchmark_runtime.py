# The runtime of the pretraining runs, but with the weights that --pretrained CKPT names.
_base_ = 'default_runtime.py'
default_hooks = dict(
    pretrained=dict(type='PretrainedHook'),
    # off: there are no views to compare, and the run trains its own classifier
    collapse=None,
    online_probe=None,
)
