# Dense probes on COCO of the 16-channel CIFAR ResNet-18: what its cells, its crops and
# a linear segmentation of its map know of 80 classes.
#
#   tools/test.py configs/benchmarks/dense_coco_r18w16.py CHECKPOINT --data-root DIR
#
# The network was made for 32 pixels; at 224 its map is 28 x 28.
_base_ = ['../_base_/datasets/coco_masks.py', '../_base_/default_runtime.py']
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        mean=(125.307, 122.961, 113.8575), std=(51.5865, 50.847, 51.255), to_rgb=False
    ),
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=16, base_channels=16),
)
