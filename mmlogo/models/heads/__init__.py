from mmlogo.models.heads.logo_head import LoGoHead
from mmlogo.models.heads.pull import CosinePull, InfoNCEPull

__all__ = ['CosinePull', 'InfoNCEPull', 'LoGoHead']
