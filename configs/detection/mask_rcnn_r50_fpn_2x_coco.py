# Mask R-CNN R50-FPN on COCO, 2x.
#
#   tools/dist_train.sh configs/detection/mask_rcnn_r50_fpn_2x_coco.py 8 --pretrained CKPT
#
# Not run here: it needs 8 GPUs. Published for it (box/mask AP): LEWEL_B, EMAN, 200 epochs
# 42.2/38.2; SyncBN, 400 epochs 43.4/39.1 (arXiv 2203.14898).
_base_ = ['../_base_/detection/mask_rcnn_r50_fpn.py', '../_base_/detection/coco_2x.py']
