# Ablation: SimSiam-LoGo without L_ll, so without a regressor: multi-crop SimSiam.
# What LoGo itself adds is the distance from here to simsiam_logo_r18_cifar10.py.
#
#   tools/dist_train.sh configs/simsiam_logo_r18_cifar10_no_ll.py 1
#
# Not run at this length yet.
_base_ = 'simsiam_logo_r18_cifar10.py'
model = dict(head=dict(affinity=None))
# _delete_: the base holds the rate of a regressor that is not there
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(_delete_=True, **{'head.pull.predictor': dict(hold_lr=True)})
    )
)
