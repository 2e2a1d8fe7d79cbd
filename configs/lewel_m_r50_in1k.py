# LEWEL_M, a reconstruction, ResNet-50, ImageNet-1k, 200 epochs, batch 256.
# LEWEL (arXiv 2203.14898) on MoCo v2. Its authors released no code and no recipe of LEWEL_M.
# These are our choices: the width (neck.out_channels and queue.dims), the norm of the
# projectors (neck.norm_cfg) and what goes into the second queue (enqueue).
#
#   tools/dist_train.sh configs/lewel_m_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/lewel_m_r50.py',
    '_base_/schedules/sgd_moco_v2_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 256
