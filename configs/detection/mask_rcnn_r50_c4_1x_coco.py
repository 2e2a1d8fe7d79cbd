# Mask R-CNN R50-C4 on COCO, 1x: MoCo's protocol, fine-tuned from a pretrained ResNet-50.
#
#   tools/dist_train.sh configs/detection/mask_rcnn_r50_c4_1x_coco.py 8 --pretrained CKPT
#
# Not run here: it needs 8 GPUs. Published for it (box/mask AP): SimSiam 37.9/33.2 (arXiv
# 2011.10566), LEWEL_B 38.5/33.7 (arXiv 2203.14898).
_base_ = ['../_base_/detection/mask_rcnn_r50_c4.py', '../_base_/detection/coco_1x.py']
