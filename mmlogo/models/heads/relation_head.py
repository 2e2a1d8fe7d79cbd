"""CGH's objective: each context predicts the other's relations to the queue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.heads.pull import check_temperature
from mmlogo.models.losses import info_nce, relation_cross_entropy, relations, unit
from mmlogo.registry import MODELS

Pair = tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D']]  # global and hypercolumn
Negatives = tuple[Float[Tensor, 'K E'], Float[Tensor, 'K E']]


@MODELS.register_module()
class RelationHead(BaseModule):
    """H(t_g, s_h) + H(t_h, s_g), and InfoNCE until they take over.

    CGH, arXiv 2308.13392. s and t are the softmax over the similarities of query and key
    to the queue. Row j of both queues is one image, so the relations of the global
    embedding can be the target of the hypercolumn's, and the reverse.

    Args:
        temperatures: Temperatures > 0 of s_g, t_g, s_h, t_h. Default: 0.10, 0.04, 0.08,
            0.08.
        contrast_temperature: tau > 0 of both InfoNCE terms. Default: 0.2.

    Raises:
        ValueError: If there are not four temperatures, or one is not above 0.
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
        self.tau = check_temperature(contrast_temperature)

    def prepare(self, embeddings: Pair) -> Pair:
        """Return the global and the hypercolumn embedding at unit norm."""
        g, h = embeddings
        return unit(g), unit(h)

    def loss(
        self,
        query: Pair,
        key: Pair,
        negatives: Negatives,
        alpha: float,
        crops: Sequence[Float[Tensor, 'N D']] = (),
    ) -> dict[str, Tensor]:
        """Return the terms of a step, weighed: (1 - alpha) L_con and alpha / 2 each.

        Small crops predict the hypercolumn's relations as the query does. The mean over
        the query and the M crops takes the place of H(t_h, s_g), as in the authors' code.

        Args:
            query: The strong view, prepared.
            key: The weak view by the teacher, prepared. No gradient.
            negatives: Snapshots of the two queues, (K, D) each.
            alpha: Weight in [0, 1]. At 1 L_con is not computed.
            crops: M x (N, D), global embeddings of the small crops. Default: none.
        """
        (q, q_h), (k, k_h), (queue, queue_h) = query, key, negatives
        t_g = relations(k.detach(), queue, self.tau_tg)
        t_h = relations(k_h.detach(), queue_h, self.tau_th)
        gh = relation_cross_entropy(t_g, q_h, queue_h, self.tau_sh)
        hg = [
            relation_cross_entropy(t_h, x, queue, self.tau_sg)
            for x in (q, *(unit(crop) for crop in crops))
        ]
        terms = dict(
            loss_gh=0.5 * alpha * gh,
            loss_hg=0.5 * alpha * hg[0] / len(hg),
        )
        if alpha < 1:
            contrast = info_nce(q, k, queue, self.tau)
            contrast = contrast + info_nce(q_h, k_h, queue_h, self.tau)
            terms['loss_contrast'] = (1 - alpha) * contrast
        if crops:
            terms['loss_local'] = 0.5 * alpha * torch.stack(hg[1:]).sum() / len(hg)
        return terms
