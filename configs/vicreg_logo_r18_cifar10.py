# VICReg-LoGo, ResNet-18, CIFAR-10, 200 epochs.
# LoGo (arXiv 2203.17205) on VICReg (arXiv 2105.04906): no teacher, no predictor, no queue.
# The paper has no such form. The rate is ours.
#
#   tools/dist_train.sh configs/vicreg_logo_r18_cifar10.py 1
#
# Not run at this length yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/vicreg_logo_r18_cifar.py',
    '_base_/schedules/lars_vicreg_200e.py',
    '_base_/default_runtime.py',
]
