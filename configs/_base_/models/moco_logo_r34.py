# MoCo-LoGo, ResNet-34, on MoCo v2's network.
_base_ = 'moco_logo_r50.py'
model = dict(backbone=dict(depth=34), neck=dict(in_channels=512, hid_channels=512))
