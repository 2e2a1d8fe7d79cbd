"""Tiny configs of every algorithm, for the tests that run them."""

from __future__ import annotations

import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from mmlogo.registry import MODELS

DIM = 8
CHANNELS = 32  # of the tiny encoder's last stage

VIEWS = dict(
    global_views=dict(role='global', count=2, size=16, scale=(0.4, 1.0)),
    local_views=dict(role='local', count=2, size=8, scale=(0.05, 0.4)),
)


def preprocessor(views: dict = VIEWS) -> dict:
    return dict(
        type='MultiCropPreprocessor', views=views, mean=(127.0,) * 3, std=(64.0,) * 3
    )


def encoder(norm_cfg: dict | None = None) -> dict:
    return dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=4,
        base_channels=4,
        zero_init_residual=False,
        norm_cfg=norm_cfg or dict(type='SyncBN'),
    )


def predictor() -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=DIM,
        hid_channels=DIM,
        out_channels=DIM,
        with_avg_pool=False,
        with_last_bn=False,
        with_last_bias=True,
    )


def projector() -> dict:
    return dict(
        type='NonLinearNeck',
        in_channels=CHANNELS,
        hid_channels=16,
        out_channels=DIM,
        num_layers=2,
        with_last_bn_affine=False,
    )


def logo_head(pull: dict | None = None, **changes) -> dict:
    pull = pull or dict(type='CosinePull', predictor=predictor())
    affinity = dict(type='Affinity', dim=DIM, hid_channels=(16, 16))
    return dict(type='LoGoHead', pull=pull, affinity=affinity, lambda_ll=0.5) | changes


def simsiam_logo(views: dict = VIEWS, **changes) -> dict:
    return (
        dict(
            type='SimSiamLoGo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(),
            neck=projector(),
            head=logo_head(),
        )
        | changes
    )


def simsiam(views: dict = VIEWS) -> dict:
    return dict(
        type='SimSiam',
        data_preprocessor=preprocessor(views),
        backbone=encoder(),
        neck=projector(),
        head=dict(
            type='LatentPredictHead',
            loss=dict(type='CosineSimilarityLoss'),
            predictor=predictor(),
        ),
    )


def moco(views: dict = VIEWS, splits: int = 2, **changes) -> dict:
    return (
        dict(
            type='MoCo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(dict(type='SplitBN', num_splits=splits)),
            neck=dict(
                type='LinearNeck',
                in_channels=CHANNELS,
                out_channels=DIM,
                gap_dim=2,
                norm_cfg=None,
                act_cfg=None,
            ),
            head=dict(type='InfoNCEPull', temperature=0.1),
            queue=dict(length=64, dim=DIM),
            momentum=0.9,
        )
        | changes
    )


def moco_logo(views: dict = VIEWS, splits: int = 2, **changes) -> dict:
    return (
        dict(
            type='MoCoLoGo',
            data_preprocessor=preprocessor(views),
            backbone=encoder(dict(type='SplitBN', num_splits=splits)),
            neck=dict(
                type='MoCoV2Neck', in_channels=CHANNELS, hid_channels=16, out_channels=DIM
            ),
            head=logo_head(dict(type='InfoNCEPull', temperature=0.1)),
            queue=dict(length=64, dim=DIM),
            momentum=0.9,
        )
        | changes
    )


ALGORITHMS = {
    'SimSiam': simsiam,
    'SimSiamLoGo': simsiam_logo,
    'MoCo': moco,
    'MoCoLoGo': moco_logo,
}


def build(cfg: dict) -> nn.Module:
    """A model as the Runner makes it on one process: initialised, in training mode."""
    init_default_scope('mmlogo')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg))
    if hasattr(model, 'init_weights'):
        model.init_weights()
    return model.train()
