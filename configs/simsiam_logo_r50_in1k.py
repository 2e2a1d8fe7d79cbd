# SimSiam-LoGo, ResNet-50, ImageNet-1k, 200 epochs, batch 512.
# LoGo (arXiv 2203.17205): 2 x 224 and 2 x 96 pixels, crops of the authors' release.
#
#   tools/dist_train.sh configs/simsiam_logo_r50_in1k.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = [
    '_base_/datasets/imagenet.py',
    '_base_/models/simsiam_logo_r50.py',
    '_base_/schedules/sgd_cosine_in1k_200e.py',
    '_base_/default_runtime.py',
]
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'head.pull.predictor': dict(hold_lr=True),
            # the regressor's own rate, constant: 0.03 per 256 images
            'head.affinity': dict(hold_lr=True, lr=0.06, weight_decay=1e-4),
        }
    )
)
