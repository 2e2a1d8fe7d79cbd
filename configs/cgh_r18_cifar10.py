# CGH, ResNet-18, CIFAR-10, 200 epochs.
# CGH (arXiv 2308.13392). The sizes, queue and rates for CIFAR are our choices.
#
#   tools/dist_train.sh configs/cgh_r18_cifar10.py 1
#
# Not run yet.
_base_ = [
    '_base_/datasets/cifar10.py',
    '_base_/models/cgh_r18_cifar.py',
    '_base_/schedules/sgd_cosine_200e.py',
    '_base_/default_runtime.py',
]
