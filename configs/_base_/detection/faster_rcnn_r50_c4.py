# Faster R-CNN: mask_rcnn_r50_c4.py without masks.
_base_ = 'mask_rcnn_r50_c4.py'
model = dict(type='FasterRCNN', roi_head=dict(mask_head=None))
