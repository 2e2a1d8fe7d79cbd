# ImageNet-1k with labels, for a classifier: top-1 and top-5 on the validation images.
_base_ = 'imagenet.py'
train_dataloader = dict(drop_last=False)
bank_dataloader = None
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
val_evaluator = [dict(type='Accuracy', topk=(1, 5), prefix='linear_augmented')]
test_evaluator = val_evaluator
