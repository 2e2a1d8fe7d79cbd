"""Projectors of the methods whose papers have more than an MLP."""

from mmlogo.models.necks.coupled_neck import CoupledNeck
from mmlogo.models.necks.hypercolumn_neck import HypercolumnNeck
from mmlogo.models.necks.token_mlp import TokenMLP

__all__ = ['CoupledNeck', 'HypercolumnNeck', 'TokenMLP']
