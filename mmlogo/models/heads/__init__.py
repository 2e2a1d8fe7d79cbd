from mmlogo.models.heads.aligned_heads import AlignedContrastHead, AlignedPredictHead
from mmlogo.models.heads.logo_head import LoGoHead
from mmlogo.models.heads.pull import CosinePull, InfoNCEPull
from mmlogo.models.heads.relation_head import RelationHead

__all__ = [
    'AlignedContrastHead',
    'AlignedPredictHead',
    'CosinePull',
    'InfoNCEPull',
    'LoGoHead',
    'RelationHead',
]
