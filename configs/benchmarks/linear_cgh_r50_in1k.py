# Linear classification, ResNet-50, ImageNet-1k: CGH's protocol.
#
#   tools/dist_train.sh configs/benchmarks/linear_cgh_r50_in1k.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet_labelled.py',
    '../_base_/models/linear_r50.py',
    '../_base_/schedules/linear_cgh_100e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 256
