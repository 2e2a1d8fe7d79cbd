# MoCo-LoGo, ResNet-50, ImageNet-1k, 200 epochs, batch 256.
# LoGo (arXiv 2203.17205) on MoCo v2: 2 x 224 and 2 x 96 pixels.
#
#   tools/dist_train.sh configs/moco_logo_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/moco_logo_r50.py',
    '_base_/schedules/sgd_cosine_in1k_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 256
auto_scale_lr = dict(base_batch_size=256)
optim_wrapper = dict(
    optimizer=dict(lr=0.03),  # 0.03 per 256 images
    paramwise_cfg=dict(
        custom_keys={
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.03, weight_decay=1e-4),
        }
    ),
)
