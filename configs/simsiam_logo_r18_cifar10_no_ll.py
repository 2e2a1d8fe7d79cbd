# Ablation: SimSiam-LoGo without the push L_ll and its regressor. This is multi-crop SimSiam.
# Its difference to simsiam_logo_r18_cifar10.py is what the push adds.
#
#   tools/dist_train.sh configs/simsiam_logo_r18_cifar10_no_ll.py 1
#
# Not run at this length yet.
_base_ = 'simsiam_logo_r18_cifar10.py'
model = dict(head=dict(affinity=None))
# _delete_, because the base sets a rate for the regressor, which is not here
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(_delete_=True, **{'head.pull.predictor': dict(hold_lr=True)})
    )
)
