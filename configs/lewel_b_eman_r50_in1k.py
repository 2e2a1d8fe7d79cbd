# LEWEL_B with EMAN, ResNet-50, ImageNet-1k, 200 epochs, batch 1,024.
# LEWEL (arXiv 2203.14898) on BYOL. Its authors published for this recipe: 72.8 % linear,
# COCO FPN 1x 41.3 box AP (their code and evaluation).
#
#   tools/dist_train.sh configs/lewel_b_eman_r50_in1k.py 8 --amp --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/lewel_b_eman_r50.py',
    '_base_/schedules/lars_byol_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 1024
