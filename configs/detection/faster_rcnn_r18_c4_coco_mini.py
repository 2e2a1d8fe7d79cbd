# Faster R-CNN R18-C4 on a hundred images of COCO. It takes minutes on a CPU.
#
#   python tools/train.py configs/detection/faster_rcnn_r18_c4_coco_mini.py --pretrained CKPT
_base_ = ['../_base_/detection/faster_rcnn_r50_c4.py', '../_base_/detection/coco_mini.py']
model = dict(
    backbone=dict(depth=18),
    rpn_head=dict(in_channels=256, feat_channels=256),
    roi_head=dict(
        shared_head=dict(depth=18),
        bbox_roi_extractor=dict(out_channels=256),
        bbox_head=dict(in_channels=512),
    ),
    # few boxes: on a CPU res5 of every box takes nearly all the time
    train_cfg=dict(rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=dict(max_per_img=50)),
)
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
