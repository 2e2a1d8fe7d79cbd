# LEWEL_B with SyncBN, ResNet-18, CIFAR-10, 200 epochs.
# LEWEL (arXiv 2203.14898) on BYOL. The sizes and rates for CIFAR are our choices.
#
#   tools/dist_train.sh configs/lewel_b_syncbn_r18_cifar10.py 8
#
# Not run yet.
_base_ = 'lewel_b_eman_r18_cifar10.py'
norm_cfg = dict(type='SyncBN')
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    head=dict(predictor=dict(norm_cfg=norm_cfg)),
    teacher=dict(momentum=0.996, statistics='own'),
)
