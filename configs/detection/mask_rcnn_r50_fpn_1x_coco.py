# Mask R-CNN R50-FPN on COCO, 1x: the protocol of InfoMin and LEWEL.
#
#   tools/dist_train.sh configs/detection/mask_rcnn_r50_fpn_1x_coco.py 8 --pretrained CKPT
#
# Not run here: it needs 8 GPUs. Published for it (box/mask AP): LEWEL_B, EMAN, 200 epochs
# 41.3/37.4; SyncBN, 400 epochs 41.9/37.9 (arXiv 2203.14898).
_base_ = ['../_base_/detection/mask_rcnn_r50_fpn.py', '../_base_/detection/coco_1x.py']
