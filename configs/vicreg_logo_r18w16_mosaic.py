# VICReg-LoGo on mosaics of 2 x 2 CIFAR-10 images, 16 channels wide: the claim itself, on
# scenes of several things (docs/study.md). There are 5,000 mosaics, one around each of the
# first 500 images of a class. k-NN is of single images: these 5,000 are the bank, all 10,000
# test images are queries.
#
#   python tools/train.py configs/vicreg_logo_r18w16_mosaic.py --amp --data-root DIR
#
# The other contents are options: train_dataloader.dataset.content=homo, or copy. The arm
# without the push is model.head.affinity=None.
_base_ = 'vicreg_logo_r18w16_cifar10_5k.py'
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
