"""What pulls two views of an image together: l_s of LoGo, equations 1 and 2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS


@MODELS.register_module()
class CosinePull(BaseModule):
    """-cos(h(z), sg(z')): SimSiam, arXiv 2011.10566, equation 1.

    Args:
        predictor: Config of h, a neck: (N, D) to (N, D).
    """

    def __init__(self, *, predictor: dict, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.predictor = MODELS.build(predictor)

    def query(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """P = h(z), once per view however many pairs it is in."""
        return self.predictor([z])[0]

    def forward(
        self, p: Float[Tensor, 'N D'], target: Float[Tensor, 'N D']
    ) -> Float[Tensor, '']:
        """Mean over the batch, in [-1, 1]. No gradient to `target`."""
        p, target = at_least_float32(p), at_least_float32(target.detach())
        return -F.cosine_similarity(p, target, dim=1).mean()


@MODELS.register_module()
class InfoNCEPull(BaseModule):
    """-log of the share of exp(q.k / tau) among exp(q.k / tau) and the negatives'.

    MoCo, arXiv 1911.05722, equation 1; LoGo, equation 1.

    Args:
        temperature: tau.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f'temperature={temperature}, but it must be > 0')
        self.temperature = temperature

    def query(self, z: Float[Tensor, 'N D ...']) -> Float[Tensor, 'N D ...']:
        """q: z at unit norm over D."""
        return F.normalize(at_least_float32(z), dim=1)

    def forward(
        self,
        q: Float[Tensor, 'N D'],
        k: Float[Tensor, 'N D'],
        negatives: Float[Tensor, 'K E'],
    ) -> Float[Tensor, '']:
        """Mean over the batch. No gradient to keys or negatives.

        Args:
            q: (N, D), unit norm.
            k: (N, D), unit norm; row n is the key of row n.
            negatives: (K, D), unit norm.
        """
        positive = (q * k.detach()).sum(dim=1, keepdim=True)  # (N, 1)
        logits = torch.cat((positive, similarity(q, negatives)), dim=1)  # (N, 1 + K)
        labels = torch.zeros(len(q), dtype=torch.int64, device=q.device)
        return F.cross_entropy(logits / self.temperature, labels)


def similarity(x: Float[Tensor, 'N D'], queue: Float[Tensor, 'K E']) -> Tensor:
    """Dot products (N, K) with a queue, no gradient to it.

    Raises:
        ValueError: If the queue holds vectors of another length.
    """
    if x.shape[1] != queue.shape[1]:
        raise ValueError(
            f'the queue holds keys of length {queue.shape[1]} and the neck gives '
            f'{x.shape[1]}; set queue.dim (or queue.dims) to the out_channels of the neck'
        )
    # bfloat16 would round the logits by more than a confident loss is worth
    with torch.autocast(x.device.type, enabled=False):
        return at_least_float32(x) @ queue.detach().T
