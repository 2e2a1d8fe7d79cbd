"""The objective of LoGo."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.parts.affinity import Affinity
from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS

GG_PAIRS = dict(symmetric=itertools.permutations, one_sided=itertools.combinations)


@MODELS.register_module()
class LoGoHead(BaseModule):
    """L_gg + L_lg + lambda L_ll, and the regressor's own loss, in one backward.

    LoGo, arXiv 2203.17205, equations 3 to 6 and 9. The regressor sees embeddings
    held constant and the push term a regressor held constant, so the two games
    share no gradient and one optimiser step plays both.

    Args:
        pull: Config of l_s: `CosinePull` or `InfoNCEPull`.
        affinity: Config of the regressor; None leaves L_ll out.
        lambda_ll: lambda, the weight of L_ll beside `reduction`'s form of the
            pull. The paper's value for its sum, divided by six, beside the mean.
        push_ratio: Instead of lambda: weigh L_ll so that the norm of its gradient
            on the local embeddings is this fraction of L_lg's. None uses lambda.
        reduction: 'mean' over all gg and lg pairs; 'sum', the paper's: the mean
            of the gg pairs plus the sum of the lg pairs.
        gg_pairs: 'symmetric', every global to every other; 'one_sided', each to
            the later ones.
    """

    def __init__(
        self,
        *,
        pull: dict,
        affinity: dict | None,
        lambda_ll: float,
        push_ratio: float | None = None,
        reduction: str = 'mean',
        gg_pairs: str = 'symmetric',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if reduction not in ('mean', 'sum'):
            raise ValueError(f"reduction={reduction!r}, but it must be 'mean' or 'sum'")
        if gg_pairs not in GG_PAIRS:
            raise ValueError(f'gg_pairs={gg_pairs!r}, but it must be one of {[*GG_PAIRS]}')
        self.pull = MODELS.build(pull)
        self.affinity = None if affinity is None else MODELS.build(affinity)
        self.lambda_ll, self.push_ratio = lambda_ll, push_ratio
        self.reduction, self.gg_pairs = reduction, gg_pairs

    def loss(
        self,
        z_global: Sequence[Float[Tensor, 'N D']],
        z_local: Sequence[Float[Tensor, 'N D']],
        targets: Sequence[Float[Tensor, 'N D']],
        keys: Int64[Tensor, 'N 3'],
        **state: Tensor,
    ) -> dict[str, Float[Tensor, '']]:
        """The terms of one step.

        Args:
            z_global: G x (N, D), projected global views.
            z_local: M x (N, D), projected local views; none leaves out lg and ll.
            targets: G x (N, D), what views are pulled to; global g's is the g-th.
            keys: (N, 3), the samples' keys.
            state: What the pull needs besides, such as its negatives.

        Returns:
            loss_gg, loss_lg, loss_ll, loss_affinity, and diagnostics.
        """
        q_global = [self.pull.query(z) for z in z_global]
        q_local = [self.pull.query(z) for z in z_local]
        gg = [
            self.pull(q_global[a], targets[b], **state)
            for a, b in GG_PAIRS[self.gg_pairs](range(len(targets)), 2)
        ]
        lg = [self.pull(q, target, **state) for q in q_local for target in targets]
        losses = self.reduce(gg, lg)
        if lg and self.affinity is not None:
            losses |= self.play(self.affinity, z_local, losses['loss_lg'], keys)
        return losses

    def reduce(self, gg: list[Tensor], lg: list[Tensor]) -> dict[str, Tensor]:
        """L_gg and L_lg of their pairs' terms, in the form of `reduction`."""
        if self.reduction == 'mean':
            terms = (gg, len(gg) + len(lg)), (lg, len(gg) + len(lg))
        else:
            terms = (gg, len(gg)), (lg, 1)
        return {
            name: torch.stack(pairs).sum() / divisor
            for name, (pairs, divisor) in zip(('loss_gg', 'loss_lg'), terms, strict=True)
            if pairs
        }

    def play(
        self, affinity: Affinity, z_local: Sequence[Tensor], loss_lg: Tensor, keys: Tensor
    ) -> dict[str, Tensor]:
        """The two games over the affinity, L_ll and Omega."""
        unit = [F.normalize(at_least_float32(z), dim=1) for z in z_local]
        omega = affinity.loss(unit, keys)
        push = affinity.push(unit)
        pull_norm, push_norm = gradient_norms((loss_lg, push), z_local)
        weight: float | Tensor = self.lambda_ll
        if self.push_ratio is not None:
            weight = self.push_ratio * pull_norm / push_norm.clamp(min=1e-12)
        return dict(
            loss_ll=weight * push,
            **omega,
            push=push.detach(),
            push_ratio=weight * push_norm / pull_norm.clamp(min=1e-12),
        )


def gradient_norms(terms: Sequence[Tensor], z: Sequence[Tensor]) -> list[Tensor]:
    """Norm of each term's gradient on z, over the global batch.

    The backward pass stops at `z`: the encoder is not visited.
    """
    if not z[0].requires_grad:  # evaluation
        return [term.new_ones(()) for term in terms]
    squares = []
    for term in terms:
        gradients = torch.autograd.grad(term, z, retain_graph=True)
        norms = torch.stack([at_least_float32(g).norm() for g in gradients])
        squares.append(norms.square().sum())
    squared = torch.stack(squares)
    all_reduce(squared)
    return list(squared.sqrt().unbind())
