# VICReg, ResNet-18, CIFAR-10, 200 epochs: the baseline of VICReg-LoGo.
# VICReg (arXiv 2105.04906) with two views of the crops of MoCo v2.
#
#   tools/dist_train.sh configs/vicreg_r18_cifar10.py 1
#
# Not run at this length yet.
_base_ = 'vicreg_logo_r18_cifar10.py'
model = dict(
    data_preprocessor=dict(
        views=dict(global_views=dict(scale=(0.2, 1.0)), local_views=dict(count=0))
    ),
    head=dict(affinity=None),
)
