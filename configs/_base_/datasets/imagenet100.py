# ImageNet-100, the 100 classes of CMC, with the pipelines of ImageNet-1k.
_base_ = 'imagenet.py'
train_dataloader = dict(dataset=dict(type='ImageNet100'))
bank_dataloader = dict(dataset=dict(type='ImageNet100'))
val_dataloader = dict(dataset=dict(type='ImageNet100'))
test_dataloader = dict(dataset=dict(type='ImageNet100'))
