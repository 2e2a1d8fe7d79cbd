# SimSiam-LoGo, ResNet-18, on the hundred training images of a mini COCO, on a CPU.
# configs/detection/mask_rcnn_r18_fpn_coco_mini.py is fine-tuned from its checkpoint
# (docs/detection.md).
#
#   python tools/train.py configs/simsiam_logo_r18_coco_mini.py --amp --data-root DIR/train2017
#
# A network learns little from a hundred images. This shows the way, not a result.
_base_ = 'simsiam_logo_r50_folder.py'
data_root = 'data/coco_mini/train2017'
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=512),
    data_preprocessor=dict(
        views=dict(global_views=dict(size=96), local_views=dict(size=48))
    ),
)
global_batch_size = 20
train_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root))
# the rate per image of our small CIFAR runs, because there are few steps
optim_wrapper = dict(
    optimizer=dict(lr=0.02),
    paramwise_cfg=dict(
        custom_keys={'head.affinity': dict(hold_lr=True, lr=0.012, weight_decay=1e-4)}
    ),
)
train_cfg = dict(max_epochs=40)
default_hooks = dict(
    checkpoint=dict(interval=40), logger=dict(interval=5), collapse=dict(interval=20)
)
