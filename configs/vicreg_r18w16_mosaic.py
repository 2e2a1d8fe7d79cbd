# VICReg with two views on mosaics of 2 x 2 CIFAR-10 images: the baseline of
# vicreg_logo_r18w16_mosaic.py, which says the rest.
#
#   python tools/train.py configs/vicreg_r18w16_mosaic.py --amp --data-root DIR
_base_ = 'vicreg_r18w16_cifar10_5k.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,  # not merged: the base's data set is inside this one
        type='Mosaic',
        content='hetero',
        dataset=dict(
            type='InMemoryCIFAR10', data_root='data/cifar10', split='train', per_class=500
        ),
    )
)
# A mosaic of four classes has no label, so there is nothing to train an online probe on.
val_evaluator = [
    dict(type='KNNMetric', k=(1, 20, 200), temperature=0.07),
    dict(type='CalibrationMetric'),
]
train_cfg = dict(max_epochs=20, val_interval=5)
