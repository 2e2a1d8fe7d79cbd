"""What pulls two views of an image together: l_s of LoGo, equations 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.losses import (
    info_nce,
    info_nce_given,
    log_sum_exp,
    negative_cosine,
    unit,
)
from mmlogo.registry import MODELS


@MODELS.register_module()
class CosinePull(BaseModule):
    """-cos(h(z), sg(z')): SimSiam, arXiv 2011.10566, equation 1.

    Args:
        predictor: Config of h, a neck that maps (N, D) to (N, D).
        init_cfg: Initialisation, as in MMEngine. Default: None.
    """

    def __init__(self, *, predictor: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.predictor = MODELS.build(predictor)

    def prepare(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """P = h(z), once per view, however many pairs the view is in."""
        return self.predictor([z])[0]

    def forward(
        self, p: Float[Tensor, 'N D'], target: Float[Tensor, 'N D']
    ) -> Float[Tensor, '']:
        """Return -cos(p, sg(target)), in [-1, 1]."""
        return negative_cosine(p, target)

    def to_all(
        self, p: Float[Tensor, 'N D'], targets: Sequence[Float[Tensor, 'N D']]
    ) -> list[Float[Tensor, '']]:
        """Return the pull of p to each target."""
        return [self(p, target) for target in targets]


@MODELS.register_module()
class InfoNCEPull(BaseModule):
    """InfoNCE(q, k, negatives): MoCo, arXiv 1911.05722, equation 1; LoGo, equation 1.

    Args:
        temperature: tau > 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.temperature = check_temperature(temperature)

    def prepare(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Q = z at unit norm."""
        return unit(z)

    def forward(
        self,
        q: Float[Tensor, 'N D'],
        k: Float[Tensor, 'N D'],
        negatives: Float[Tensor, 'K E'],
    ) -> Float[Tensor, '']:
        """Return `info_nce` of unit vectors: q and k (N, D), negatives (K, D)."""
        return info_nce(q, k, negatives, self.temperature)

    def to_all(
        self,
        q: Float[Tensor, 'N D'],
        targets: Sequence[Float[Tensor, 'N D']],
        negatives: Float[Tensor, 'K E'],
    ) -> list[Float[Tensor, '']]:
        """Return the pull of q to each target. q meets the negatives once."""
        negative = log_sum_exp(q, negatives, self.temperature)
        return [info_nce_given(q, k, negative, self.temperature) for k in targets]


def check_temperature(temperature: float) -> float:
    """Return the temperature. Raise ValueError if it is not above 0."""
    if not temperature > 0:
        raise ValueError(f'temperature={temperature}, but it must be > 0')
    return temperature
