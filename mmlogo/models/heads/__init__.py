"""Objectives. Every head has two verbs, `prepare` and `loss`."""

from mmlogo.models.heads.aligned_heads import AlignedContrastHead, AlignedPredictHead
from mmlogo.models.heads.contrast_head import ContrastHead
from mmlogo.models.heads.logo_head import LoGoHead
from mmlogo.models.heads.pull import CosinePull, InfoNCEPull, VICRegPull
from mmlogo.models.heads.relation_head import RelationHead

__all__ = [
    'AlignedContrastHead',
    'AlignedPredictHead',
    'ContrastHead',
    'CosinePull',
    'InfoNCEPull',
    'LoGoHead',
    'RelationHead',
    'VICRegPull',
]
