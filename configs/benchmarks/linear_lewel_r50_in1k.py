# Linear classification, ResNet-50, ImageNet-1k: LEWEL's protocol.
# LEWEL_B with EMAN (arXiv 2203.14898) reports 71.9 % at 100 epochs of pretraining.
#
#   tools/dist_train.sh configs/benchmarks/linear_lewel_r50_in1k.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet_labelled.py',
    '../_base_/models/linear_r50.py',
    '../_base_/schedules/linear_lewel_50e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 256
