# ImageNet-100, the 100 classes of CMC, with labels, for a classifier.
_base_ = 'imagenet_labelled.py'
train_dataloader = dict(dataset=dict(type='ImageNet100'))
val_dataloader = dict(dataset=dict(type='ImageNet100'))
test_dataloader = dict(dataset=dict(type='ImageNet100'))
