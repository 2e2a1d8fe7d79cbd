# LEWEL_M, a reconstruction, ResNet-18, CIFAR-10, 200 epochs.
# LEWEL (arXiv 2203.14898) on MoCo. Its authors released no code of LEWEL_M.
#
#   tools/dist_train.sh configs/lewel_m_r18_cifar10.py 1
#
# Not run yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/lewel_m_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
