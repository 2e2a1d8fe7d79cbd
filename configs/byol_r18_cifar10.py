# BYOL, ResNet-18, CIFAR-10, 200 epochs: the baseline of LEWEL_B.
# BYOL (arXiv 2006.07733) is mmpretrain's. The sizes and rates for CIFAR are our choices.
# It differs from LEWEL_B in the neck and in the teacher. BYOL's teacher uses the statistics
# of its batch, not EMAN's averaged ones. With accumulative_counts it moves at every batch;
# LEWEL_B's teacher moves at every optimiser step.
#
#   tools/dist_train.sh configs/byol_r18_cifar10.py 1
#
# Not run yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/byol_r18_cifar.py',
    '_base_/schedules/sgd_warmup_cosine_200e.py',
    '_base_/default_runtime.py',
]
