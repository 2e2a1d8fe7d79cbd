# CGH with four small crops, ResNet-50, ImageNet-1k, 200 epochs, batch 256.
# CGH (arXiv 2308.13392). The small crops are an option of its authors' code; their sizes
# and scales are the authors'.
#
#   tools/dist_train.sh configs/cgh_r50_in1k_crops.py 8 --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = 'cgh_r50_in1k.py'
_small = dict(
    role='local',
    jitter=(0.4, 0.4, 0.4, 0.1),
    jitter_p=0.8,
    gray=0.2,
    blur=0.5,
)
model = dict(
    data_preprocessor=dict(
        views=dict(
            small_192=dict(size=192, scale=(0.172, 0.86), **_small),
            small_160=dict(size=160, scale=(0.143, 0.715), **_small),
            small_128=dict(size=128, scale=(0.114, 0.571), **_small),
            small_96=dict(size=96, scale=(0.086, 0.429), **_small),
        )
    )
)
