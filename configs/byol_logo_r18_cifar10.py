# BYOL-LoGo, ResNet-18, CIFAR-10, 200 epochs.
# LoGo (arXiv 2203.17205) on BYOL (arXiv 2006.07733). The paper has no such form. The mean of
# cosines is a quarter of BYOL's loss, so the rate is four times that of our BYOL, and the
# weight decay a quarter.
#
#   tools/dist_train.sh configs/byol_logo_r18_cifar10.py 1
#
# Not run at this length yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/byol_logo_r18_cifar.py',
    '_base_/schedules/sgd_warmup_cosine_200e.py',
    '_base_/default_runtime.py',
]
optim_wrapper = dict(
    optimizer=dict(lr=0.24, weight_decay=1.25e-4),
    paramwise_cfg=dict(
        custom_keys={
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.06, weight_decay=1e-4),
        }
    ),
)
