# Fine-tuning on 10 % of ImageNet-1k's labels, ResNet-50: CGH's rates.
# You can use a published list instead, such as SimCLR's 10percent.txt:
# --cfg-options train_dataloader.dataset.listing=FILE
#
#   python tools/make_split.py DIR/train data/splits/imagenet_10p.txt --fraction .1
#   tools/dist_train.sh configs/benchmarks/semisup_cgh_r50_in1k_10p.py 8 \
#     --pretrained CKPT --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '../_base_/datasets/imagenet_split.py',
    '../_base_/models/classifier_r50.py',
    '../_base_/schedules/semisup_cgh_70e.py',
    '../_base_/benchmark_runtime.py',
]
global_batch_size = 256
train_dataloader = dict(dataset=dict(listing='data/splits/imagenet_10p.txt'))
