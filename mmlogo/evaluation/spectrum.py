"""How much of their space embeddings use.

Collapse shows in these measures.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from mmlogo.evaluation.features import Features
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS


def std_ratio(x: Float[Tensor, 'N D']) -> float:
    """Return the standard deviation of the unit vectors, times sqrt(D).

    SimSiam, arXiv 2011.10566, section 4.1. It is 1 if the vectors fill the sphere evenly,
    and 0 if all are one vector.
    """
    unit = F.normalize(x.double(), dim=1)
    return unit.std(dim=0, unbiased=False).mean().item() * math.sqrt(x.shape[1])


def mean_cosine(x: Float[Tensor, 'N D']) -> float:
    """Return the mean cosine of two different samples, in [-1 / (N - 1), 1]."""
    unit, n = F.normalize(x.double(), dim=1), len(x)
    return ((unit.sum(dim=0).square().sum() - n) / (n * (n - 1))).item()


def squared_singular_values(x: Float[Tensor, 'N D']) -> Float[Tensor, ' R']:
    """Return the R = min(N, D) squared singular values, descending.

    They are the eigenvalues of the smaller of x x^T and x^T x.
    """
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return torch.linalg.eigvalsh(gram).flip(0).clamp(min=0)


def rank_me(x: Float[Tensor, 'N D'], eps: float = 1e-7) -> float:
    """Return RankMe: exp of the entropy of normalised singular values, in [1, min(N, D)].

    Garrido et al., arXiv 2210.02885, equation 1.

    Args:
        x: N samples.
        eps: Added to the normalised values. Default: 1e-7.
    """
    values = squared_singular_values(x.double()).sqrt()
    share = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny) + eps
    return torch.exp(-(share * share.log()).sum()).item()


def alpha_req(x: Float[Tensor, 'N D'], first: int = 1, last: int | None = None) -> float:
    """Return alpha-ReQ, the exponent of a power law of the covariance's eigenvalues.

    Agrawal et al., NeurIPS 2022: lambda_j ~ j ** -alpha. Near 1 is best. A large alpha
    means that few directions carry everything. The fit is least squares of log lambda
    over log j.

    Args:
        x: N samples.
        first: First j that is fitted, >= 1. Default: 1.
        last: Last j that is fitted. Default: None, which fits all eigenvalues above
            rounding error.

    Returns:
        Alpha, infinite if fewer than two eigenvalues are fitted.
    """
    centred = x.double() - x.double().mean(dim=0)
    values = squared_singular_values(centred)
    # Features are float32, so their rounding error is float32's, though we compute in
    # float64 here.
    rounding = values[0] * max(x.shape) * torch.finfo(torch.float32).eps ** 2
    above = int((values > rounding).sum())
    fitted = values[first - 1 : min(last or above, above)]
    if len(fitted) < 2:
        return math.inf
    log_j = torch.arange(first, first + len(fitted), device=x.device).double().log()
    log_j = log_j - log_j.mean()
    return -((log_j * fitted.log()).sum() / log_j.square().sum()).item()


MEASURES = dict(
    std_ratio=std_ratio, mean_cosine=mean_cosine, rank_me=rank_me, alpha_req=alpha_req
)


@METRICS.register_module()
class SpectrumMetric(FeatureMetric):
    """`std_ratio`, `mean_cosine`, `rank_me` and `alpha_req` of the queries' features.

    The metric needs neither labels nor a bank.

    Args:
        features: Which features are scored: 'neck', the default, or 'backbone'.
        prefix: Prefix of the scalars' names. Default: None, which gives 'spectrum' or
            'spectrum_backbone'.
    """

    needs_bank = False
    needs_labels = False

    def __init__(self, *, features: str = 'neck', prefix: str | None = None) -> None:
        if prefix is None:
            prefix = 'spectrum' if features == 'neck' else f'spectrum_{features}'
        super().__init__(features=features, prefix=prefix)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        return {name: measure(query.feature) for name, measure in MEASURES.items()}
