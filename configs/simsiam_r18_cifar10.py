# SimSiam, ResNet-18, CIFAR-10, 200 epochs: the baseline of SimSiam-LoGo.
# SimSiam (arXiv 2011.10566), appendix D: lr 0.03 per 256, weight decay 5e-4.
#
#   tools/dist_train.sh configs/simsiam_r18_cifar10.py 1
#
# Not run at this length yet; docs/results holds shorter runs. Public runs of other
# code reach about 81-82 % k-NN at 200 epochs, with protocols of their own.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/simsiam_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.predictor': dict(hold_lr=True)}))
