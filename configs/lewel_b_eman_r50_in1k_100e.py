# LEWEL_B with EMAN, ResNet-50, ImageNet-1k, 100 epochs, batch 1,024.
# LEWEL (arXiv 2203.14898). Its authors published 71.9 % linear. The learning rates and
# momenta of this config are those of their log: tests/engine/test_schedules.py.
#
#   tools/dist_train.sh configs/lewel_b_eman_r50_in1k_100e.py 8 --amp --data-root DIR
#
# Not run yet: it needs data and GPUs that we do not have.
_base_ = 'lewel_b_eman_r50_in1k.py'
optim_wrapper = dict(optimizer=dict(weight_decay=1e-6))
train_cfg = dict(max_epochs=100)
