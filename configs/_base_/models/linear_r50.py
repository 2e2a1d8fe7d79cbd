# A linear layer on a frozen ResNet-50. The ResNet has no gradients, and
# its BatchNorm is in evaluation mode.
_base_ = 'classifier_r50.py'
model = dict(backbone=dict(frozen_stages=4))
