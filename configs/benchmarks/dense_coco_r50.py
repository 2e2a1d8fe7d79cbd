# Dense probes of a ResNet-50 on COCO: how well single cells vote for their class, how
# often a local crop finds its own image, what a linear segmentation of the map is worth.
#
#   tools/test.py configs/benchmarks/dense_coco_r50.py CHECKPOINT --data-root DIR
#
# Not run yet: no ResNet-50 was trained here.
_base_ = ['../_base_/datasets/coco_masks.py', '../_base_/default_runtime.py']
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), to_rgb=False
    ),
    backbone=dict(type='ResNet', depth=50),
)
