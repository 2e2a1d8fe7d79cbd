# Faster R-CNN R50-C4 on VOC trainval07+12, 24,000 iterations: MoCo's protocol.
#
#   tools/dist_train.sh configs/detection/faster_rcnn_r50_c4_24k_voc0712.py 8 --pretrained CKPT
#
# Not run here: it needs 8 GPUs. Published for it (AP50/AP/AP75): MoCo v2, 200 epochs
# 82.4/57.0/63.6 and supervised 81.3/53.5/58.8 (arXiv 2003.04297), SimSiam 82.0/56.4/62.8
# (arXiv 2011.10566); MoCo's are means of five runs.
_base_ = ['../_base_/detection/faster_rcnn_r50_c4.py', '../_base_/detection/voc0712_24k.py']
model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
