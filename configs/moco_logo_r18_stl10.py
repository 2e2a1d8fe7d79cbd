# MoCo-LoGo, ResNet-18, STL-10, 200 epochs, batch 512.
# Globals of 64, locals of 32 pixels: our choice. No source says what LoGo used on STL-10.
#
#   tools/dist_train.sh configs/moco_logo_r18_stl10.py 1
#
# Not run yet.
_base_ = [
    '_base_/datasets/stl10.py',
    '_base_/models/moco_logo_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
model = dict(
    data_preprocessor=dict(
        # STL-10's images were taken from ImageNet
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        views=dict(
            global_views=dict(size=64, blur=0.5), local_views=dict(size=32, blur=0.5)
        ),
    )
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.06, weight_decay=1e-4),
        }
    ),
)
