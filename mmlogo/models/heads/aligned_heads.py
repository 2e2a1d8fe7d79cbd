"""LEWEL's objectives: of the global embedding, and of the aligned ones."""

from __future__ import annotations

import torch
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.heads.pull import check_temperature
from mmlogo.models.losses import info_nce, squared_distance, unit
from mmlogo.registry import MODELS

Embeddings = tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D K']]  # z and u


@MODELS.register_module()
class AlignedPredictHead(BaseModule):
    """lambda D(q(z), sg z') + (1 - lambda) D(q'(u), sg u'), D = 2 - 2 cos.

    LEWEL_B, arXiv 2203.14898. Aligned vector k is compared with aligned vector k.

    Args:
        predictor: Config of q and of q', a `TokenMLP`. Each has its own weights.
        lambda_z: lambda in [0, 1], the weight of the global term. Default: 0.5.
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If lambda is out of its range.
    """

    def __init__(
        self, *, predictor: dict, lambda_z: float = 0.5, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.lambda_z = check_weight(lambda_z)
        self.predictor = MODELS.build(predictor)
        self.aligned_predictor = MODELS.build(predictor)

    def prepare(self, embeddings: Embeddings) -> Embeddings:
        """Predict q(z) and q'(u), once per view."""
        z, u = embeddings
        return self.predictor(z[..., None])[..., 0], self.aligned_predictor(u)

    def loss(self, predicted: Embeddings, target: Embeddings) -> dict[str, Tensor]:
        """Return loss_global in [0, 4 lambda], loss_aligned in [0, 4 (1 - lambda)].

        Args:
            predicted: One view, prepared.
            target: The teacher's z and u of another view. No gradient.
        """
        (p, p_aligned), (z, u) = predicted, target
        return dict(
            loss_global=self.lambda_z * squared_distance(p, z),
            loss_aligned=(1 - self.lambda_z) * squared_distance(p_aligned, u),
        )


@MODELS.register_module()
class AlignedContrastHead(BaseModule):
    """lambda NCE(z) + (1 - lambda) mean over k of NCE(u_k).

    LEWEL_M, reconstructed; its authors' release does not have it.

    Args:
        temperature: tau > 0.
        lambda_z: lambda in [0, 1], the weight of the global term. Default: 0.5.

    Raises:
        ValueError: If tau or lambda is out of its range.
    """

    def __init__(self, *, temperature: float, lambda_z: float = 0.5) -> None:
        super().__init__()
        self.lambda_z = check_weight(lambda_z)
        self.temperature = check_temperature(temperature)

    def prepare(self, embeddings: Embeddings) -> Embeddings:
        """Return z and every u_k at unit norm."""
        z, u = embeddings
        return unit(z), unit(u)

    def loss(
        self, query: Embeddings, key: Embeddings, negatives: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Return loss_global and loss_aligned. u_k of the query belongs to u_k of the key.

        Args:
            query: One view, prepared.
            key: Another view by the teacher, prepared. No gradient.
            negatives: (K', D) for z and for u, unit norm. No gradient.
        """
        (q, q_aligned), (k, k_aligned) = query, key
        queue, queue_aligned = negatives
        q_rows = torch.cat(q_aligned.unbind(2))  # (K * N, D)
        k_rows = torch.cat(k_aligned.unbind(2))  # (K * N, D)
        nce = info_nce(q, k, queue, self.temperature)
        nce_aligned = info_nce(q_rows, k_rows, queue_aligned, self.temperature)
        return dict(
            loss_global=self.lambda_z * nce,
            loss_aligned=(1 - self.lambda_z) * nce_aligned,
        )


def check_weight(lambda_z: float) -> float:
    """Return lambda. Raise ValueError if it is not in [0, 1]."""
    if not 0 <= lambda_z <= 1:
        raise ValueError(
            f'lambda_z={lambda_z}, but it is the share of the global term, in [0, 1]'
        )
    return lambda_z
