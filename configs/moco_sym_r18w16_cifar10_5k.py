# Symmetric MoCo on a tenth of CIFAR-10, 16 channels wide: the baseline of MoCo-LoGo, which
# has symmetric keys too. Its crops are those of MoCo-LoGo's global views.
#
#   python tools/train.py configs/moco_sym_r18w16_cifar10_5k.py --amp --data-root DIR
#
# Three seeds beside three of MoCo-LoGo: docs/study.md.
_base_ = 'moco_r18w16_cifar10_5k.py'
model = dict(
    symmetric=True,
    data_preprocessor=dict(views=dict(global_views=dict(scale=(0.2, 1.0)))),
)
