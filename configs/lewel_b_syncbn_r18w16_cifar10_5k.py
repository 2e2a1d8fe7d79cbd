# LEWEL_B with SyncBN on a tenth of CIFAR-10, 16 channels wide: small enough for two CPU
# cores. 5,000 training images (the first 500 of each class) are also the k-NN bank; all
# 10,000 test images are queries.
#
#   python tools/train.py configs/lewel_b_syncbn_r18w16_cifar10_5k.py --amp --data-root DIR
#
# Gave 33.6 / 40.1 / 38.1 % k-NN at k 1 / 20 / 200, seed 0, commit 92f5a2f:
# docs/results/cifar10_5k.md.
_base_ = 'lewel_b_eman_r18w16_cifar10_5k.py'
norm_cfg = dict(type='SyncBN')
model = dict(
    backbone=dict(norm_cfg=norm_cfg),
    neck=dict(norm_cfg=norm_cfg),
    head=dict(predictor=dict(norm_cfg=norm_cfg)),
    teacher=dict(momentum=0.996, statistics='own'),
)
