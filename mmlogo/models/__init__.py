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
    VICRegPull,
)
from mmlogo.models.necks import CoupledNeck, HypercolumnNeck, TokenMLP
from mmlogo.models.selfsup import (
    CGH,
    LEWELB,
    LEWELM,
    BYOLLoGo,
    MoCo,
    MoCoLoGo,
    SimSiamLoGo,
    VICRegLoGo,
)

__all__ = [
    'CGH',
    'LEWELB',
    'LEWELM',
    'AlignedContrastHead',
    'AlignedPredictHead',
    'BYOLLoGo',
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
    'VICRegLoGo',
    'VICRegPull',
    'losses',
    'parts',
]
