# SimSiam-LoGo, ResNet-34, on SimSiam's ImageNet network.
_base_ = 'simsiam_logo_r50.py'
model = dict(backbone=dict(depth=34), neck=dict(in_channels=512))
