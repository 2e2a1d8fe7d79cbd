# Fine-tuning on 1 % of ImageNet-1k's labels, ResNet-50: CGH's rates.
# You can use a published list instead, such as SimCLR's 1percent.txt:
# --cfg-options train_dataloader.dataset.listing=FILE
#
#   python tools/make_split.py DIR/train data/splits/imagenet_1p.txt --fraction .01
#   tools/dist_train.sh configs/benchmarks/semisup_cgh_r50_in1k_1p.py 8 \
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
