"""What pulls two views of an image together: l_s of LoGo, equations 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.losses import (
    covariance_penalty,
    info_nce,
    info_nce_given,
    log_sum_exp,
    negative_cosine,
    unit,
    variance_hinge,
)
from mmlogo.models.parts.gather import gather_with_gradient
from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS

TARGETS = ('each', 'mean')


@MODELS.register_module()
class CosinePull(BaseModule):
    """-cos(h(z), sg(z')): SimSiam, arXiv 2011.10566, equation 1.

    Args:
        predictor: Config of h, a neck that maps (N, D) to (N, D).
        target: What a view with several targets is pulled to. 'each', the default, pulls it
            to one after another. 'mean' pulls it to their mean, as often as it has targets,
            so that the weights of a sum stay the same (FastSiam, GCPR 2022,
            doi 10.1007/978-3-031-16788-1_4).
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If `target` is neither of its values.
    """

    def __init__(
        self, *, predictor: dict, target: str = 'each', init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if target not in TARGETS:
            raise ValueError(f'pull.target={target!r}, but it must be one of {TARGETS}')
        self.predictor = MODELS.build(predictor)
        self.target = target

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
        """Return the pull of p to each target, or to their mean."""
        if self.target == 'mean':
            return [self(p, torch.stack([*targets]).mean(dim=0))] * len(targets)
        return [self(p, target) for target in targets]

    def as_target(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return z, what others are pulled to."""
        return z


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

    def as_target(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return k = z at unit norm, what others are pulled to."""
        return unit(z)


@MODELS.register_module()
class VICRegPull(BaseModule):
    """Variance, invariance and covariance: VICReg, arXiv 2105.04906, equation 6.

    A view's part of the loss is lambda s(z, sg(z')) + mu v(z) + nu c(z). Summed over both
    orders of two views, its gradient is that of equation 6, whose s lets the gradient flow
    to both sides at once. Its value has s twice.

    s is the mean squared difference over batch *and* components, as in the authors' code;
    the paper's equation 5 sums over components. v and c are those of the paper; the code
    halves v. Variance and covariance are of the whole batch of all processes.

    Args:
        invariance: lambda, the weight of s. Default: 25.
        variance: mu, the weight of v, how far deviations are below 1. Default: 25.
        covariance: nu, the weight of c, the squared covariances. Default: 1.
    """

    def __init__(
        self,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        self.invariance, self.variance, self.covariance = invariance, variance, covariance

    def prepare(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return z in at least float32. There is no predictor and no unit norm."""
        return at_least_float32(z)

    def spread(self, z: Float[Tensor, 'N D']) -> Float[Tensor, '']:
        """Return mu v(z) + nu c(z), which keep embeddings apart without negatives.

        Raises:
            ValueError: If the batch of all processes holds one image.
        """
        everyone = gather_with_gradient(z)
        if len(everyone) < 2:
            raise ValueError(
                'VICRegPull compares the images of a batch, and the global batch holds '
                'one; raise the batch size'
            )
        v, c = variance_hinge(everyone), covariance_penalty(everyone)
        return self.variance * v + self.covariance * c

    def forward(
        self, z: Float[Tensor, 'N D'], target: Float[Tensor, 'N D']
    ) -> Float[Tensor, '']:
        """Return the part of view z in the loss of z and its target, >= 0."""
        return self.to_all(z, [target])[0]

    def to_all(
        self, z: Float[Tensor, 'N D'], targets: Sequence[Float[Tensor, 'N D']]
    ) -> list[Float[Tensor, '']]:
        """Return the part of z in its pair with each target. Its spread is taken once."""
        spread = self.spread(z)
        return [
            self.invariance * F.mse_loss(z, at_least_float32(target.detach())) + spread
            for target in targets
        ]

    def as_target(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return z, what others are pulled to."""
        return z


def check_temperature(temperature: float) -> float:
    """Return the temperature. Raise ValueError if it is not above 0."""
    if not temperature > 0:
        raise ValueError(f'temperature={temperature}, but it must be > 0')
    return temperature
