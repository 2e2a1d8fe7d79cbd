# LEWEL_B with EMAN, ResNet-18, CIFAR-10, 200 epochs.
# LEWEL (arXiv 2203.14898) on BYOL. The sizes and rates for CIFAR are our choices.
#
#   tools/dist_train.sh configs/lewel_b_eman_r18_cifar10.py 1
#
# Not run yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/lewel_b_eman_r18_cifar.py',
    '_base_/schedules/sgd_warmup_cosine_200e.py',
    '_base_/default_runtime.py',
]
