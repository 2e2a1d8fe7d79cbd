# Linear classification, ResNet-50, ImageNet-1k: MoCo's protocol, SGD at a rate of 30.
# MoCo v2 (arXiv 2003.04297) reports 67.5 % at 200 epochs of pretraining.
#
#   tools/dist_train.sh configs/benchmarks/linear_moco_r50_in1k.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet_labelled.py',
    '../_base_/models/linear_r50.py',
    '../_base_/schedules/linear_moco_100e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 256
