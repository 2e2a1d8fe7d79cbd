# Ablation: two global views and no local ones.
# This is SimSiam in LoGo's loop, with LoGo's global crops.
#
#   tools/dist_train.sh configs/simsiam_logo_r18_cifar10_2g.py 1
#
# Not run at this length yet.
_base_ = 'simsiam_logo_r18_cifar10_no_ll.py'
model = dict(data_preprocessor=dict(views=dict(local_views=dict(count=0))))
