# LEWEL's fine-tuning on 10 per cent of the labels: the new layer at 0.1, the trunk at 0.01.
_base_ = 'semisup_lewel_1p_50e.py'
optim_wrapper = dict(
    optimizer=dict(lr=0.1),
    paramwise_cfg=dict(custom_keys={'backbone': dict(lr=0.01)}),
)
