# Linear classification, CIFAR ResNet-18, STL-10, at 96 pixels: CGH's ImageNet protocol.
# SimSiam's LARS moves by a share of the weights' norm a step, and 5,000 images make few.
#
#   python tools/train.py configs/benchmarks/linear_cgh_r18_stl10.py \
#     --pretrained CKPT --data-root DIR
#
# Not run yet.
_base_ = [
    '../_base_/datasets/stl10_labelled.py',
    '../_base_/models/linear_r18_cifar.py',
    '../_base_/schedules/linear_cgh_100e.py',
    '../_base_/benchmark_runtime.py',
]
model = dict(
    data_preprocessor=dict(
        # STL-10's images were taken from ImageNet
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        views=dict(crop=dict(size=96)),
    )
)
global_batch_size = 256
