# STL-10 in memory, 96 x 96 pixels. The loss uses 105,000 images without labels. 5,000
# labelled images are the k-NN bank, 8,000 are the queries.
_base_ = 'cifar10.py'
data_root = 'data/stl10'
train_dataloader = dict(
    dataset=dict(type='InMemorySTL10', data_root=data_root, split='train+unlabeled')
)
bank_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
val_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
test_dataloader = dict(dataset=dict(type='InMemorySTL10', data_root=data_root))
