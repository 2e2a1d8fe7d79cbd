"""The algorithms, one file each."""

from mmlogo.models.selfsup.byol_logo import BYOLLoGo
from mmlogo.models.selfsup.cgh import CGH
from mmlogo.models.selfsup.lewel_b import LEWELB
from mmlogo.models.selfsup.lewel_m import LEWELM
from mmlogo.models.selfsup.moco import MoCo
from mmlogo.models.selfsup.moco_logo import MoCoLoGo
from mmlogo.models.selfsup.simsiam_logo import SimSiamLoGo, VICRegLoGo

__all__ = [
    'CGH',
    'LEWELB',
    'LEWELM',
    'BYOLLoGo',
    'MoCo',
    'MoCoLoGo',
    'SimSiamLoGo',
    'VICRegLoGo',
]
