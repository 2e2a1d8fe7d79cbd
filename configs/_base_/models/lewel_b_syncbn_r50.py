# LEWEL_B with SyncBN (arXiv 2203.14898): the teacher keeps statistics of its own.
_base_ = 'lewel_b_eman_r50.py'
norm_cfg = dict(type='SyncBN')
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    head=dict(predictor=dict(norm_cfg=norm_cfg)),
    teacher=dict(momentum=0.996, statistics='own'),
)
