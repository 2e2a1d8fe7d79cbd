"""LEWEL's objectives: of the global embedding, and of the aligned ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.heads.pull import InfoNCEPull
from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS

Embeddings = tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D K']]  # z and u


@MODELS.register_module()
class AlignedPredictHead(BaseModule):
    """lambda D(q(z), sg z') + (1 - lambda) D(q'(u), sg u'), D = 2 - 2 cos.

    LEWEL_B, arXiv 2203.14898. Aligned vector k is compared with k.

    Args:
        predictor: Config of q and of q', a `TokenMLP`; each has its own weights.
        lambda_z: lambda, the weight of the global term.
    """

    def __init__(
        self, *, predictor: dict, lambda_z: float = 0.5, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.lambda_z = checked_weight(lambda_z)
        self.predictor = MODELS.build(predictor)
        self.aligned_predictor = MODELS.build(predictor)

    def predict(self, embeddings: Embeddings) -> Embeddings:
        """q(z) and q'(u), once per view."""
        z, u = embeddings
        return self.predictor(z[..., None])[..., 0], self.aligned_predictor(u)

    def loss(self, predicted: Embeddings, target: Embeddings) -> dict[str, Tensor]:
        """loss_global in [0, 4 lambda], loss_aligned in [0, 4 (1 - lambda)].

        Args:
            predicted: `predict` of one view.
            target: The teacher's z and u of another; no gradient to them.
        """
        (p, p_aligned), (z, u) = predicted, target
        return dict(
            loss_global=self.lambda_z * distance(p, z),
            loss_aligned=(1 - self.lambda_z) * distance(p_aligned, u),
        )


def checked_weight(lambda_z: float) -> float:
    if not 0 <= lambda_z <= 1:
        raise ValueError(
            f'lambda_z={lambda_z}, but it is the share of the global term, in [0, 1]'
        )
    return lambda_z


def distance(p: Float[Tensor, 'N D ...'], target: Float[Tensor, 'N D ...']) -> Tensor:
    """Mean of 2 - 2 cos over all vectors, in [0, 4]; no gradient to `target`."""
    p, target = at_least_float32(p), at_least_float32(target.detach())
    return 2 - 2 * F.cosine_similarity(p, target, dim=1).mean()


@MODELS.register_module()
class AlignedContrastHead(BaseModule):
    """lambda NCE(z) + (1 - lambda) mean over k of NCE(u_k).

    LEWEL_M, reconstructed: its authors' release does not have it.

    Args:
        temperature: tau.
        lambda_z: lambda, the weight of the global term.
    """

    def __init__(self, *, temperature: float, lambda_z: float = 0.5) -> None:
        super().__init__()
        self.lambda_z = checked_weight(lambda_z)
        self.nce = InfoNCEPull(temperature=temperature)

    def unit(self, embeddings: Embeddings) -> Embeddings:
        """Z and every u_k at unit norm."""
        z, u = embeddings
        return self.nce.query(z), self.nce.query(u)

    def loss(
        self, query: Embeddings, key: Embeddings, negatives: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """loss_global and loss_aligned; u_k of the query belongs to u_k of the key.

        Args:
            query: `unit` of one view.
            key: Of another, by the teacher; no gradient to it.
            negatives: (K', D) for z and for u, unit norm.
        """
        rows = [torch.cat(u.unbind(2)) for u in (query[1], key[1])]  # (K * N, D)
        return dict(
            loss_global=self.lambda_z * self.nce(query[0], key[0], negatives[0]),
            loss_aligned=(1 - self.lambda_z) * self.nce(*rows, negatives[1]),
        )
