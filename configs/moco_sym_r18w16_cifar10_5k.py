# Symmetric MoCo on a tenth of CIFAR-10, 16 channels wide: the baseline of MoCo-LoGo, which
# has symmetric keys too. Its crops are those of MoCo-LoGo's global views.
#
#   python tools/train.py configs/moco_sym_r18w16_cifar10_5k.py --amp --data-root DIR
_base_ = 'moco_r18w16_cifar10_5k.py'
model = dict(symmetric=True)
