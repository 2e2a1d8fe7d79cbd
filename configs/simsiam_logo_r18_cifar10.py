# SimSiam-LoGo, ResNet-18, CIFAR-10, 200 epochs.
# LoGo (arXiv 2203.17205) on SimSiam, with the crops of LoGo's release and the weight decay
# of SimSiam's CIFAR recipe.
#
#   tools/dist_train.sh configs/simsiam_logo_r18_cifar10.py 8
#
# Not run at this length yet; docs/results holds shorter runs. The paper's Table 1 has
# 87.67 % k-NN. Its recipe is not published.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/simsiam_logo_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'head.pull.predictor': dict(hold_lr=True),
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.06, weight_decay=1e-4),
        }
    )
)
