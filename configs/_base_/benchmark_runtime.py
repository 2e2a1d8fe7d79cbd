# As the pretraining runs, on weights that --pretrained CKPT names.
_base_ = 'default_runtime.py'
default_hooks = dict(pretrained=dict(type='PretrainedHook'))
