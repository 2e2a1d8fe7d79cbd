# For training, the CIFAR-10 images that a text file lists, with labels. For tests, all test
# images.
_base_ = 'cifar10_labelled.py'
data_root = 'data/cifar10'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,  # not merged: the base's data set is inside this one
        type='listed_subset',
        listing='data/splits/cifar10_1p.txt',
        dataset=dict(type='InMemoryCIFAR10', data_root=data_root, split='train'),
    )
)
val_evaluator = [dict(type='Accuracy', topk=(1, 5))]
test_evaluator = val_evaluator
