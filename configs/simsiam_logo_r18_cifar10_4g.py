# Ablation: four global views instead of two globals and two locals.
# There are as many views as in LoGo, and none of them is local.
#
#   tools/dist_train.sh configs/simsiam_logo_r18_cifar10_4g.py 1
#
# Not run at this length yet.
_base_ = 'simsiam_logo_r18_cifar10_no_ll.py'
model = dict(
    data_preprocessor=dict(
        views=dict(global_views=dict(count=4), local_views=dict(count=0))
    )
)
