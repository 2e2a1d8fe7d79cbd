"""CGH's objective: each context predicts the other's relations to the queue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.heads.pull import InfoNCEPull, similarity
from mmlogo.registry import MODELS

Pair = tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D']]  # global and hypercolumn
Negatives = tuple[Float[Tensor, 'K E'], Float[Tensor, 'K E']]


@MODELS.register_module()
class RelationHead(BaseModule):
    """H(t_g, s_h) + H(t_h, s_g), and InfoNCE until they take over.

    CGH, arXiv 2308.13392. s and t are the query's and the key's softmax over their
    similarities to the queue; as row j of both queues is one image, the relations of
    the global embedding can be the target of the hypercolumn's, and the reverse.

    Args:
        temperatures: Of s_g, t_g, s_h, t_h.
        contrast_temperature: Of both InfoNCE terms.
    """

    def __init__(
        self,
        *,
        temperatures: Sequence[float] = (0.10, 0.04, 0.08, 0.08),
        contrast_temperature: float = 0.2,
    ) -> None:
        super().__init__()
        if len(temperatures) != 4 or min(temperatures) <= 0:
            raise ValueError(
                f'temperatures={temperatures}, but there must be four > 0, of s_g, t_g, '
                's_h and t_h'
            )
        self.tau_sg, self.tau_tg, self.tau_sh, self.tau_th = temperatures
        self.nce = InfoNCEPull(temperature=contrast_temperature)

    def unit(self, embeddings: Pair) -> Pair:
        """Both at unit norm."""
        g, h = embeddings
        return self.nce.query(g), self.nce.query(h)

    def loss(
        self,
        query: Pair,
        key: Pair,
        negatives: Negatives,
        alpha: float,
        crops: Sequence[Float[Tensor, 'N D']] = (),
    ) -> dict[str, Tensor]:
        """The terms of one step, weighed: (1 - alpha) L_con and alpha / 2 each.

        With small crops, H(t_h, s_g) of each is averaged with all that.
        NOTE: alpha weighs the crops' terms too. They are relations like the others,
        and the source does not say.

        Args:
            query: `unit` of the strong view.
            key: Of the weak one, by the teacher; no gradient to it.
            negatives: Snapshots of the two queues.
            alpha: In [0, 1]; at 1 L_con is not computed.
            crops: M x (N, D), global embeddings of the small crops.
        """
        (q, q_h), (k, k_h), (queue, queue_h) = query, key, negatives
        t_g = relations(k.detach(), queue, self.tau_tg)
        t_h = relations(k_h.detach(), queue_h, self.tau_th)
        terms = dict(
            loss_gh=0.5 * alpha * cross_entropy(t_g, q_h, queue_h, self.tau_sh),
            loss_hg=0.5 * alpha * cross_entropy(t_h, q, queue, self.tau_sg),
        )
        if alpha < 1:
            contrast = self.nce(q, k, queue) + self.nce(q_h, k_h, queue_h)
            terms['loss_contrast'] = (1 - alpha) * contrast
        if crops:
            local = [
                cross_entropy(t_h, self.nce.query(x), queue, self.tau_sg) for x in crops
            ]
            terms['loss_local'] = alpha * torch.stack(local).sum()
        return {name: term / (1 + len(crops)) for name, term in terms.items()}


def relations(
    x: Float[Tensor, 'N D'], queue: Float[Tensor, 'K E'], temperature: float
) -> Float[Tensor, 'N K']:
    """Softmax over the similarities to a queue."""
    return (similarity(x, queue) / temperature).softmax(dim=1)


def cross_entropy(
    target: Float[Tensor, 'N K'],
    x: Float[Tensor, 'N D'],
    queue: Float[Tensor, 'K E'],
    temperature: float,
) -> Float[Tensor, '']:
    """H(target, s) of the relations s of `x`, mean over the batch."""
    return F.cross_entropy(similarity(x, queue) / temperature, target)
