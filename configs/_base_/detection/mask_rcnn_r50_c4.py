# Mask R-CNN on res4, with res5 as the head of every box, as MoCo fine-tunes it. Images and
# strides are those of torchvision's ResNet. It has SyncBN and a norm after res5. Nothing is
# frozen.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50-caffe-c4.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(
        frozen_stages=-1,
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        init_cfg=None,
    ),
    roi_head=dict(
        shared_head=dict(
            type='Res5WithNorm',
            _scope_='mmlogo',
            style='pytorch',
            norm_cfg=norm_cfg,
            norm_eval=False,
        )
    ),
    # anchors across the border are trained, too, as in detectron2 and mmdet's Faster R-CNN C4
    train_cfg=dict(rpn=dict(allowed_border=-1)),
)
