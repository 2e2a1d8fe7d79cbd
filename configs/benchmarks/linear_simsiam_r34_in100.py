# Linear classification, ResNet-34, ImageNet-100: SimSiam's ImageNet-1k protocol, LARS.
#
#   tools/dist_train.sh configs/benchmarks/linear_simsiam_r34_in100.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet100_labelled.py',
    '../_base_/models/linear_r50.py',
    '../_base_/schedules/linear_simsiam_90e.py',
    '../_base_/benchmark_runtime.py',
]
model = dict(backbone=dict(depth=34), head=dict(num_classes=100, in_channels=512))
global_batch_size = 4096
