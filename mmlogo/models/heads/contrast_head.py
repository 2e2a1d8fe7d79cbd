"""MoCo's objective."""

from __future__ import annotations

from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.heads.pull import check_temperature
from mmlogo.models.losses import info_nce, unit
from mmlogo.registry import MODELS


@MODELS.register_module()
class ContrastHead(BaseModule):
    """InfoNCE of a query, its key and a queue: MoCo, arXiv 1911.05722, equation 1.

    Args:
        temperature: tau > 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def prepare(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return z at unit norm: q of the student, k of the teacher."""
        return unit(z)

    def loss(
        self,
        q: Float[Tensor, 'N D'],
        k: Float[Tensor, 'N D'],
        negatives: Float[Tensor, 'K E'],
    ) -> dict[str, Float[Tensor, '']]:
        """Return `loss`, the mean over the batch.

        Args:
            q: (N, D), prepared.
            k: (N, D), prepared; row n is the key of query n. No gradient.
            negatives: (K, D), unit norm. No gradient.

        Raises:
            ValueError: If the negatives have another length than q.
        """
        return dict(loss=info_nce(q, k, negatives, self.temperature))
