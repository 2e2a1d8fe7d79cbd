# BYOL, ResNet-50, ImageNet-1k, 200 epochs, batch 1,024: the baseline of LEWEL_B.
# BYOL (arXiv 2006.07733) is mmpretrain's. The views, LARS and the momentum are LEWEL_B's.
# It differs from LEWEL_B in the neck and in the teacher. BYOL's teacher uses the statistics
# of its batch, not EMAN's averaged ones. With accumulative_counts it moves at every batch;
# LEWEL_B's teacher moves at every optimiser step.
#
#   tools/dist_train.sh configs/byol_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/byol_r50.py',
    '_base_/schedules/lars_byol_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 1024
