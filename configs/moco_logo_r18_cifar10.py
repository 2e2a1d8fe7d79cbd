# MoCo-LoGo, ResNet-18, CIFAR-10, 200 epochs.
# LoGo (arXiv 2203.17205) on FAIR's CIFAR-10 demo of MoCo, with the crops of LoGo's release.
# Like the demo it is meant for one process. On N processes set num_splits to 8 / N.
#
#   tools/dist_train.sh configs/moco_logo_r18_cifar10.py 1
#
# Not run at this length yet; docs/results holds shorter runs.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/moco_logo_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.06, weight_decay=1e-4),
        }
    )
)
