# CGH, ResNet-50, ImageNet-1k, 200 epochs, batch 256.
# CGH (arXiv 2308.13392), with the settings of its authors' code.
#
#   tools/dist_train.sh configs/cgh_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/cgh_r50.py',
    '_base_/schedules/sgd_cgh_200e.py',
    '_base_/default_runtime.py',
]
global_batch_size = 256
# The authors' two protocols: the backbone's features at the end of training, and the
# head's output during training.
val_evaluator = [
    dict(type='KNNMetric', k=(10, 20, 100, 200), temperature=0.07),
    dict(type='KNNMetric', k=20, temperature=0.07, features='neck'),
    dict(type='OnlineProbeMetric'),
]
