from mmlogo.models.selfsup.moco import MoCo
from mmlogo.models.selfsup.moco_logo import MoCoLoGo
from mmlogo.models.selfsup.simsiam_logo import SimSiamLoGo

__all__ = ['MoCo', 'MoCoLoGo', 'SimSiamLoGo']
