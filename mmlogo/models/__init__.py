"""Networks and objectives."""

import mmlogo.checkpoints.read  # noqa: F401  MMEngine reads by it from now on
from mmlogo.models import losses, parts
from mmlogo.models.heads import (
    AlignedContrastHead,
    AlignedPredictHead,
    ContrastHead,
    CosinePull,
    InfoNCEPull,
    LoGoHead,
    RelationHead,
)
from mmlogo.models.necks import CoupledNeck, HypercolumnNeck, TokenMLP
from mmlogo.models.selfsup import CGH, LEWELB, LEWELM, MoCo, MoCoLoGo, SimSiamLoGo

__all__ = [
    'CGH',
    'LEWELB',
    'LEWELM',
    'AlignedContrastHead',
    'AlignedPredictHead',
    'ContrastHead',
    'CosinePull',
    'CoupledNeck',
    'HypercolumnNeck',
    'InfoNCEPull',
    'LoGoHead',
    'MoCo',
    'MoCoLoGo',
    'RelationHead',
    'SimSiamLoGo',
    'TokenMLP',
    'losses',
    'parts',
]
