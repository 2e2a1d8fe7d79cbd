# A linear layer on a frozen CIFAR ResNet-18. The ResNet has no gradients, and
# its BatchNorm is in evaluation mode.
_base_ = 'classifier_r18_cifar.py'
model = dict(backbone=dict(frozen_stages=4))
