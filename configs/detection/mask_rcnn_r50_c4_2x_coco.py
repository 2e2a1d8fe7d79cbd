# Mask R-CNN R50-C4 on COCO, 2x.
#
#   tools/dist_train.sh configs/detection/mask_rcnn_r50_c4_2x_coco.py 8 --pretrained CKPT
#
# Not run here: it needs 8 GPUs.
_base_ = ['../_base_/detection/mask_rcnn_r50_c4.py', '../_base_/detection/coco_2x.py']
