# For training, the ImageNet-1k images that a text file lists, with labels. For tests, all
# validation images.
_base_ = 'imagenet_labelled.py'
data_root = 'data/imagenet'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,  # not merged: the base's data set is inside this one
        type='listed_subset',
        listing='data/splits/imagenet_1p.txt',
        dataset=dict(
            type='ImageNet',
            data_root=data_root,
            split='train',
            pipeline={{_base_.train_pipeline}},
        ),
    )
)
val_evaluator = [dict(type='Accuracy', topk=(1, 5))]
test_evaluator = val_evaluator
