# Mask R-CNN R18-FPN on a hundred images of COCO. It takes minutes on a CPU.
#
#   python tools/train.py configs/detection/mask_rcnn_r18_fpn_coco_mini.py --pretrained CKPT
#
# From scratch: --cfg-options default_hooks.pretrained=None
_base_ = ['../_base_/detection/mask_rcnn_r50_fpn.py', '../_base_/detection/coco_mini.py']
# Few boxes and 64 channels, because on a CPU the heads of the boxes take nearly all the time.
model = dict(
    backbone=dict(depth=18),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        bbox_head=dict(in_channels=64, conv_out_channels=64, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=64),
        mask_head=dict(in_channels=64, conv_out_channels=64),
    ),
    train_cfg=dict(rcnn=dict(sampler=dict(num=64))),
    test_cfg=dict(rpn=dict(max_per_img=100)),
)
