# STL-10 with labels, for a classifier: 5,000 training images, 8,000 test images.
_base_ = 'cifar10_labelled.py'
data_root = 'data/stl10'
train_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
val_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
test_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
