# BYOL, ResNet-50, ImageNet-1k, 200 epochs, batch 1,024: the baseline of LEWEL_B.
# BYOL (arXiv 2006.07733) is mmpretrain's; views, LARS and momentum are LEWEL_B's.
# Besides the neck it differs in the teacher: batch statistics, not EMAN's averaged ones,
# and with accumulative_counts it moves at every batch, LEWEL_B's at every step.
#
#   tools/dist_train.sh configs/byol_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that its authors do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/byol_r50.py',
    '_base_/schedules/lars_byol_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 1024
