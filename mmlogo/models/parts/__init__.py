from mmlogo.models.parts.affinity import Affinity
from mmlogo.models.parts.norms import SplitBatchNorm2d

__all__ = ['Affinity', 'SplitBatchNorm2d']
