# LEWEL_B with SyncBN as its authors ran it: the gains of four norms are treated as weights.
# By a slip in a name, the release decays the gains of the projectors' and predictors'
# norms, and LARS adapts their rate. Nobody has measured what difference this makes.
#
#   tools/dist_train.sh configs/lewel_b_syncbn_r50_in1k_400e_released.py 8 --amp --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = 'lewel_b_syncbn_r50_in1k_400e.py'
_as_weight = dict(decay_mult=1.0, lars_exclude=False)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'neck.projector.layers.1.weight': _as_weight,
            'neck.aligned_projector.layers.1.weight': _as_weight,
            'head.predictor.layers.1.weight': _as_weight,
            'head.aligned_predictor.layers.1.weight': _as_weight,
        }
    )
)
