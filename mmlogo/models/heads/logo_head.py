"""The objective of LoGo."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from mmengine.dist import all_reduce
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.losses import unit
from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS

GG_PAIRS = dict(symmetric=itertools.permutations, one_sided=itertools.combinations)
REDUCTIONS = ('mean', 'sum')


@MODELS.register_module()
class LoGoHead(BaseModule):
    """L_gg + L_lg + lambda L_ll, and the regressor's own loss, in one backward.

    LoGo, arXiv 2203.17205, equations 3 to 6 and 9. The regressor sees embeddings
    held constant and the push term a regressor held constant. So the two games share no
    gradient, and one optimiser step plays both.

    Args:
        pull: Config of l_s, a `CosinePull` or `InfoNCEPull`.
        affinity: Config of the regressor, an `Affinity`. None leaves L_ll out, as it
            must be where there are no local views.
        lambda_ll: Weight of L_ll. The paper's 1e-4 belongs to `reduction='sum'`. With
            'mean' the pull is six times smaller, so use 1e-4 / 6.
        push_ratio: With a number, L_ll is weighed so that the norm of its gradient on
            the local embeddings is this fraction of L_lg's, and lambda is not used.
            Default: None, which uses lambda.
        reduction: 'mean', the default, takes the mean over all gg and lg pairs. 'sum'
            is the paper's form: the mean of the gg pairs plus the sum of the lg pairs.
        gg_pairs: 'symmetric', the default, pulls every global view to every other.
            'one_sided' pulls each to the later ones.
        pull_locals: With True, L_ll pulls every local view to every other, each pair with
            the weight of an lg pair: the opposite of what LoGo claims. `affinity` must be
            None then. Default: False.
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If `reduction` or `gg_pairs` is neither of its values, or if locals
            should be pulled together and pushed apart.
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
        pull_locals: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if reduction not in REDUCTIONS:
            raise ValueError(f'reduction={reduction!r}, but it must be one of {REDUCTIONS}')
        if gg_pairs not in GG_PAIRS:
            raise ValueError(f'gg_pairs={gg_pairs!r}, but it must be one of {[*GG_PAIRS]}')
        if pull_locals and affinity is not None:
            raise ValueError(
                'pull_locals=True pulls locals together and the affinity pushes them apart;'
                ' set head.affinity=None, or leave pull_locals out'
            )
        self.pull = MODELS.build(pull)
        self.affinity = None if affinity is None else MODELS.build(affinity)
        self.lambda_ll, self.push_ratio = lambda_ll, push_ratio
        self.reduction, self.gg_pairs = reduction, gg_pairs
        self.pull_locals = pull_locals

    def prepare(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return what of an embedding (N, D) is pulled: h(z), or z at unit norm."""
        return self.pull.prepare(z)

    def loss(
        self,
        z_global: Sequence[Float[Tensor, 'N D']],
        z_local: Sequence[Float[Tensor, 'N D']],
        targets: Sequence[Float[Tensor, 'N D']],
        seeds: Int64[Tensor, 'N 3'],
        **state: Tensor,
    ) -> dict[str, Float[Tensor, '']]:
        """Return the terms of one step: loss_gg, loss_lg, loss_ll, loss_affinity.

        Scalars without "loss" in their name are for the log.

        Args:
            z_global: G x (N, D), projected global views.
            z_local: M x (N, D), projected local views. With none, L_lg and L_ll are
                left out.
            targets: G x (N, D), what views are pulled to; target g is of global view g.
            seeds: (N, 3), the samples' seeds.
            state: What the pull needs besides, such as its negatives.

        Raises:
            ValueError: If there is an affinity and no local view to push apart.
        """
        if self.affinity is not None and not z_local:
            raise ValueError(
                'head.affinity learns from local views and pushes them apart, and there '
                'are none; set model.head.affinity=None in the config or by --cfg-options, '
                'or give the data preprocessor local views'
            )
        q_global = [self.prepare(z) for z in z_global]
        q_local = [self.prepare(z) for z in z_local]
        local_targets = (
            [self.pull.as_target(z) for z in z_local] if self.pull_locals else []
        )
        losses = self.pull_together(q_global, q_local, targets, local_targets, **state)
        if self.affinity is not None:
            omega = self.affinity.loss([unit(z) for z in z_local], seeds)
            losses |= self.push_apart(z_local, losses['loss_lg']) | omega
        return losses

    def pull_together(
        self,
        q_global: Sequence[Tensor],
        q_local: Sequence[Tensor],
        targets: Sequence[Tensor],
        local_targets: Sequence[Tensor] = (),
        **state: Tensor,
    ) -> dict[str, Tensor]:
        """Return L_gg and L_lg, equations 3 and 4, in the form of `reduction`.

        With targets for the locals, return also how far they are from each other.
        """
        partners: dict[int, list[Tensor]] = {}  # of a global view, the targets of others
        for a, b in GG_PAIRS[self.gg_pairs](range(len(targets)), 2):
            partners.setdefault(a, []).append(targets[b])
        gg = [
            pulled
            for a, others in partners.items()
            for pulled in self.pull.to_all(q_global[a], others, **state)
        ]
        lg = [pulled for q in q_local for pulled in self.pull.to_all(q, targets, **state)]
        count = len(gg) + len(lg)
        over_gg, over_lg = (count, count) if self.reduction == 'mean' else (len(gg), 1)
        losses = dict(loss_gg=torch.stack(gg).sum() / over_gg)
        if lg:
            losses['loss_lg'] = torch.stack(lg).sum() / over_lg
        if len(local_targets) > 1:
            ll = [
                pulled
                for i, q in enumerate(q_local)
                for pulled in self.pull.to_all(
                    q, [*local_targets[:i], *local_targets[i + 1 :]], **state
                )
            ]
            losses['loss_ll'] = torch.stack(ll).sum() / over_lg
        return losses

    def push_apart(self, z_local: Sequence[Tensor], loss_lg: Tensor) -> dict[str, Tensor]:
        """Return lambda L_ll, equation 5, and how strong it is beside L_lg."""
        assert self.affinity is not None
        push = self.affinity.push([unit(z) for z in z_local])
        pull_norm, push_norm = gradient_norms((loss_lg, push), z_local)
        weight: float | Tensor = self.lambda_ll
        if self.push_ratio is not None:
            weight = self.push_ratio * pull_norm / push_norm.clamp(min=1e-12)
        return dict(
            loss_ll=weight * push,
            push=push.detach(),
            push_ratio=weight * push_norm / pull_norm.clamp(min=1e-12),
        )


def gradient_norms(terms: Sequence[Tensor], z: Sequence[Tensor]) -> list[Tensor]:
    """Return the norm of each term's gradient on z, over the global batch.

    The backward pass stops at `z`. The encoder is not visited.
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
