# RetinaNet R18-FPN, a dense detector of one stage, on a hundred images of COCO. It takes
# minutes on a CPU.
#
#   python tools/train.py configs/detection/retinanet_r18_fpn_coco_mini.py --pretrained CKPT
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', '../_base_/detection/coco_mini.py']
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        depth=18, frozen_stages=-1, norm_cfg=norm_cfg, norm_eval=False, init_cfg=None
    ),
    # 64 channels for a CPU
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64),
)
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
