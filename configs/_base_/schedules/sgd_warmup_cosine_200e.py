# SGD with momentum, ten epochs of warm-up per iteration, a cosine to zero per epoch, for
# CIFAR. The rate has the shape of BYOL's and LEWEL's (arXiv 2006.07733, 2203.14898).
_base_ = 'sgd_cosine_200e.py'
param_scheduler = [
    dict(type='WarmUpLR', end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', begin=10, eta_min=0.0, by_epoch=True),
]
