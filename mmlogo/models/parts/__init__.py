"""State and ideas that algorithms share, as small parts with verbs."""

from mmlogo.models.parts.affinity import Affinity, CosineAffinity
from mmlogo.models.parts.clock import Clock, Clocked
from mmlogo.models.parts.frozen import call_frozen
from mmlogo.models.parts.norms import AllReduceBN, SplitBatchNorm2d
from mmlogo.models.parts.pairs import GlobalLocal
from mmlogo.models.parts.queue import AlignedQueues, Queue
from mmlogo.models.parts.ramp import Ramp
from mmlogo.models.parts.regressor import Regressor
from mmlogo.models.parts.representative import Representative
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.statistics import (
    averaged_statistics,
    frozen_statistics,
    refit_statistics,
    restored_statistics,
)
from mmlogo.models.parts.teacher import Teacher

__all__ = [
    'Affinity',
    'AlignedQueues',
    'AllReduceBN',
    'Clock',
    'Clocked',
    'CosineAffinity',
    'GlobalLocal',
    'Queue',
    'Ramp',
    'Regressor',
    'Representative',
    'SplitBatchNorm2d',
    'Teacher',
    'averaged_statistics',
    'call_frozen',
    'frozen_statistics',
    'refit_statistics',
    'restored_statistics',
    'shuffled',
]
