# Linear classification, ResNet-50, ImageNet-1k: SimSiam's protocol, LARS, batch 4,096.
# SimSiam (arXiv 2011.10566) reports 68.1 % at 100 epochs of pretraining.
#
#   tools/dist_train.sh configs/benchmarks/linear_simsiam_r50_in1k.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet_labelled.py',
    '../_base_/models/linear_r50.py',
    '../_base_/schedules/linear_simsiam_90e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 4096
