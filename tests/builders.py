"""Tiny configs of every algorithm, for the tests that run them."""

from __future__ import annotations

from functools import partial

import torch
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import nn

from mmlogo.models.parts.schedule import Paced, TrainingLength
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
            teacher=dict(momentum=0.9),
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
            teacher=dict(momentum=0.9),
        )
        | changes
    )


PAIR = dict(global_views=VIEWS['global_views'])


def coupled_neck(norm_cfg: dict | None = None) -> dict:
    return dict(
        type='CoupledNeck',
        in_channels=CHANNELS,
        hid_channels=16,
        out_channels=DIM,
        num_groups=2,
        norm_cfg=norm_cfg,
    )


def byol(views: dict = PAIR) -> dict:
    return dict(
        type='BYOL',
        data_preprocessor=preprocessor(views),
        backbone=encoder(),
        neck=projector(),
        head=dict(
            type='LatentPredictHead',
            loss=dict(type='CosineSimilarityLoss'),
            predictor=predictor(),
        ),
    )


def lewel_b(views: dict = PAIR, norm_cfg: dict | None = None, **changes) -> dict:
    norm_cfg = norm_cfg or dict(type='SyncBN')
    token_mlp = dict(
        type='TokenMLP',
        in_channels=DIM,
        hid_channels=16,
        out_channels=DIM,
        norm_cfg=norm_cfg,
    )
    return (
        dict(
            type='LEWELB',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg),
            neck=coupled_neck(norm_cfg),
            head=dict(type='AlignedPredictHead', predictor=token_mlp),
            teacher=dict(momentum=0.9, schedule='cosine', statistics='averaged'),
        )
        | changes
    )


def lewel_m(views: dict = PAIR, splits: int = 2, **changes) -> dict:
    norm_cfg = dict(type='SplitBN', num_splits=splits)
    return (
        dict(
            type='LEWELM',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg),
            neck=coupled_neck(norm_cfg),
            head=dict(type='AlignedContrastHead', temperature=0.1),
            teacher=dict(momentum=0.9),
            queue=dict(length=64, dims=(DIM, DIM)),
        )
        | changes
    )


STRONG_WEAK_SMALL = dict(
    strong=dict(role='global', size=16, scale=(0.4, 1.0), gray=0.5),
    weak=dict(role='global', size=16, scale=(0.4, 1.0)),
    small=dict(role='local', count=2, size=8, scale=(0.2, 0.5)),
)


def cgh(views: dict = STRONG_WEAK_SMALL, splits: int = 2, **changes) -> dict:
    norm_cfg = dict(type='SplitBN', num_splits=splits)
    return (
        dict(
            type='CGH',
            data_preprocessor=preprocessor(views),
            backbone=encoder(norm_cfg) | dict(out_indices=(2, 3)),
            neck=dict(
                type='HypercolumnNeck',
                in_channels=(CHANNELS // 2, CHANNELS),
                mid_channels=16,
                hid_channels=16,
                out_channels=DIM,
                norm_cfg=norm_cfg,
            ),
            head=dict(type='RelationHead'),
            teacher=dict(momentum=0.9),
            queue=dict(length=64, dims=(DIM, DIM)),
            ramp_epochs=2,
        )
        | changes
    )


ALGORITHMS = {
    'BYOL': byol,
    'CGH': cgh,
    'CGH after its ramp': partial(cgh, ramp_epochs=0),
    'LEWELB': lewel_b,
    'LEWELM': lewel_m,
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
    tell_length(model)
    return model.train()


def tell_length(model: nn.Module) -> None:
    """What `ShareLengthHook` and mmpretrain's own EMA hear from a Runner."""
    MessageHub.get_current_instance().update_info('max_iters', 20)
    MessageHub.get_current_instance().update_info('iter', 0)
    for part in model.modules():
        if isinstance(part, Paced):
            part.expect(TrainingLength(updates=20, steps_per_epoch=4))
