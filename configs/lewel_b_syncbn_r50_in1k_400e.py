# LEWEL_B with SyncBN, ResNet-50, ImageNet-1k, 400 epochs, batch 4,096.
# LEWEL (arXiv 2203.14898) on BYOL. Its authors published for this recipe: 73.8 % linear,
# COCO FPN 1x 41.9 box AP (their code and evaluation).
#
#   tools/dist_train.sh configs/lewel_b_syncbn_r50_in1k_400e.py 8 --amp --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/lewel_b_syncbn_r50.py',
    '_base_/schedules/lars_byol_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 4096
# Here no norm decays. By a slip in a name the release decays the gains of some norms;
# lewel_b_syncbn_r50_in1k_400e_released.py does so, too.
optim_wrapper = dict(optimizer=dict(lr=7.2, weight_decay=1e-6))
train_cfg = dict(max_epochs=400)
auto_scale_lr = dict(base_batch_size=4096)
