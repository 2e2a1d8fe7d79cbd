# CIFAR-100 with labels, for a classifier.
_base_ = 'cifar10_labelled.py'
data_root = 'data/cifar100'
train_dataloader = dict(dataset=dict(type='InMemoryCIFAR100', data_root=data_root))
val_dataloader = dict(dataset=dict(type='InMemoryCIFAR100', data_root=data_root))
test_dataloader = dict(dataset=dict(type='InMemoryCIFAR100', data_root=data_root))
