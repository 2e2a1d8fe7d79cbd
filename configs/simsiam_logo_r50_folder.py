# SimSiam-LoGo, ResNet-50, on a folder of your own images, no labels needed.
#
#   tools/dist_train.sh configs/simsiam_logo_r50_folder.py 8 --data-root DIR
#
# Every image below DIR is used. Without labels there is no k-NN during training;
# _base_/datasets/folder.py says how to add it. There is no result, because it would depend
# on your images.
_base_ = [
    '_base_/datasets/folder.py',
    '_base_/models/simsiam_logo_r50.py',
    '_base_/schedules/sgd_cosine_in1k_200e.py',
    '_base_/default_runtime.py',
]
# 0.05 per 256 images
optim_wrapper = dict(
    optimizer=dict(lr=0.05),
    paramwise_cfg=dict(
        custom_keys={
            'head.pull.predictor': dict(hold_lr=True),
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.03, weight_decay=1e-4),
        }
    ),
)
auto_scale_lr = dict(base_batch_size=256)
