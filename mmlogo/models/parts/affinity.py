"""LoGo's learned affinity: a regressor that tells pairs of one image from others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.parts.gather import gather_batch, own_rows
from mmlogo.models.parts.regressor import Regressor
from mmlogo.registry import MODELS
from mmlogo.views.seeds import NOISE_STREAM, normal


class Objective(NamedTuple):
    """What the regressor minimises, and what the encoder minimises of its scores."""

    omega: Callable[[Tensor, Tensor], Tensor]  # of f(positive) and f(negative), (P,) each
    push: Callable[[Tensor], Tensor]  # of f(pairs of one image), (P,)


OBJECTIVES = dict(
    # bounded below; chance is 2 ln 2
    logistic=Objective(
        omega=lambda f_pos, f_neg: F.softplus(-f_pos).mean() + F.softplus(f_neg).mean(),
        push=lambda score: F.softplus(score).mean(),
    ),
    # equation 6, unbounded
    difference=Objective(
        omega=lambda f_pos, f_neg: f_neg.mean() - f_pos.mean(), push=Tensor.mean
    ),
)


def next_samples(everyone: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
    """Pair sample n of the global batch with sample n + 1."""
    return everyone.roll(-1, dims=0)


def reversed_samples(everyone: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
    """Pair sample n of the global batch with sample N - 1 - n."""
    paired = everyone.flip(0)
    if len(paired) % 2:  # the middle sample would be its own negative
        paired[len(paired) // 2] = paired[0]
    return paired


NEGATIVES = dict(reversed=reversed_samples, next=next_samples)
NOISE_ON = ('both', 'positives')


def check(name: str, value: str, allowed: Collection[str]) -> None:
    """Raise ValueError unless an argument has one of its values."""
    if value not in allowed:
        raise ValueError(
            f'affinity.{name}={value!r}, but it must be one of {tuple(allowed)}'
        )


class LocalPairs(BaseModule):
    """Pairs of local embeddings: of one image, and of two.

    Args:
        negatives: The other image of a negative pair, a name in `NEGATIVES`.
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If there is no such name.
    """

    def __init__(self, negatives: str, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        check('negatives', negatives, NEGATIVES)
        self.pair_up = NEGATIVES[negatives]

    @staticmethod
    def positives(z_local: Sequence[Float[Tensor, 'N D']]) -> list[Float[Tensor, 'N DD']]:
        """Return pairs of two locals of an image: (N, 2D) for each of M (M - 1) orders."""
        return [torch.cat(pair, dim=1) for pair in itertools.permutations(z_local, 2)]

    def negatives(
        self, z_local: Sequence[Float[Tensor, 'N D']]
    ) -> list[Float[Tensor, 'N DD']]:
        """Return pairs as `positives` does, the second local of another image."""
        return [
            torch.cat((first, self.other_image(second)), dim=1)
            for first, second in itertools.permutations(z_local, 2)
        ]

    def other_image(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """Return (N, D) of other samples of the global batch, never the same one.

        Raises:
            ValueError: If the global batch holds one image.
        """
        everyone = gather_batch(z)
        if len(everyone) < 2:
            raise ValueError(
                'the affinity needs negatives from another image, and the global batch '
                'holds one; raise the batch size'
            )
        return own_rows(self.pair_up(everyone))


@MODELS.register_module()
class Affinity(LocalPairs):
    """l_a: how alike two local embeddings are, by a regressor f that learns it.

    LoGo, arXiv 2203.17205, equations 5 and 6, figure 2. Two games are played with
    it. `loss` trains f on embeddings held constant. `push` moves the embeddings
    against f held constant. They share no gradient.

    Args:
        dim: D, the length of an embedding.
        hid_channels: Widths of f's hidden layers. Default: 256, 256.
        norm: What normalises f's hidden layers, as in `Regressor`. Default: 'joint_bn'.
        norm_cfg: Type of f's BatchNorm. Default: SyncBN, which keeps the f of all
            processes one.
        noise: Strength of the Gaussian noise on the embeddings that f learns from. Its
            standard deviation is noise / sqrt(D) per component. Each embedding has its
            own, the same in every pair that it is in. Default: 0.3.
        noise_on: 'both', the default, puts noise on the embeddings of positive and of
            negative pairs. 'positives' is the authors' release: it leaves negatives
            clean, so that f can tell pairs by their length alone.
        negatives: The other image of a negative pair. 'reversed', the default, takes
            sample N - 1 - n of the global batch for sample n; 'next' takes sample n + 1.
        objective: 'logistic', the default, is softplus(-f(pos)) + softplus(f(neg)).
            'difference' is f(neg) - f(pos), equation 6.
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If `norm`, `noise_on`, `negatives` or `objective` is none of its values.
    """

    def __init__(
        self,
        *,
        dim: int,
        hid_channels: Sequence[int] = (256, 256),
        norm: str = 'joint_bn',
        norm_cfg: dict | None = None,
        noise: float = 0.3,
        noise_on: str = 'both',
        negatives: str = 'reversed',
        objective: str = 'logistic',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(negatives, init_cfg)
        check('noise_on', noise_on, NOISE_ON)
        check('objective', objective, OBJECTIVES)
        self.f = Regressor(
            dim=dim,
            hid_channels=hid_channels,
            norm=norm,
            norm_cfg=norm_cfg or dict(type='SyncBN'),
        )
        self.noise, self.noise_on = noise / math.sqrt(dim), noise_on
        self.objective = OBJECTIVES[objective]

    def loss(
        self, z_local: Sequence[Float[Tensor, 'N D']], seeds: Int64[Tensor, 'N 3']
    ) -> dict[str, Float[Tensor, '']]:
        """Return Omega of equation 6, as a loss for f alone, and what f knows.

        Args:
            z_local: M x (N, D), unit norm. They are detached here.
            seeds: (N, 3), the samples' seeds.

        Returns:
            loss_affinity; auc_affinity and auc_cosine, the areas under the ROC curve of f
            as `push` asks it and of plain cosine, on pairs without noise; cos_ll, the mean
            cosine of two locals of an image.
        """
        z_local = [z.detach() for z in z_local]
        with torch.autocast(z_local[0].device.type, enabled=False):
            streams = range(NOISE_STREAM, NOISE_STREAM + len(z_local))
            noise = self.noise * normal(seeds, streams, z_local[0].shape[1])
            noisy = [z + eps for z, eps in zip(z_local, noise, strict=True)]
            others = z_local if self.noise_on == 'positives' else noisy
            f_pos, f_neg = self.f.scores(self.positives(noisy), self.negatives(others))
            omega = self.objective.omega(f_pos, f_neg)
            return dict(loss_affinity=omega, **self.diagnose(z_local))

    def push(self, z_local: Sequence[Float[Tensor, 'N D']]) -> Float[Tensor, '']:
        """Return l_a of equation 5, to be minimised by the encoder. f is a constant.

        It is the mean over both orders of all pairs of locals.
        """
        with torch.autocast(z_local[0].device.type, enabled=False):
            return self.objective.push(self.f.judge(torch.cat(self.positives(z_local))))

    @torch.no_grad()
    def diagnose(self, z_local: Sequence[Float[Tensor, 'N D']]) -> dict[str, Tensor]:
        """Return auc_affinity, auc_cosine and cos_ll of pairs without noise.

        f judges them as in `push`. Its scores in training would know the noise, and with
        'separate_bn' the batch.
        """
        positive = torch.cat(self.positives(z_local))
        negative = torch.cat(self.negatives(z_local))
        f_pos, f_neg = self.f.judge(torch.cat((positive, negative))).chunk(2)
        cos_pos, cos_neg = _cosine(positive), _cosine(negative)
        return dict(
            auc_affinity=auc(f_pos, f_neg),
            auc_cosine=auc(cos_pos, cos_neg),
            cos_ll=cos_pos.mean(),
        )


@MODELS.register_module()
class CosineAffinity(LocalPairs):
    """l_a = cos(z_l1, z_l2): locals are pushed apart without a regressor.

    It is the control for LoGo's learned affinity. It has nothing to learn, so `loss` has no
    term. Its figures are for the log.

    Args:
        negatives: The other image of a negative pair of the log. 'reversed', the default,
            takes sample N - 1 - n of the global batch for sample n; 'next' takes n + 1.
        init_cfg: Initialisation, as in MMEngine. Default: None.

    Raises:
        ValueError: If `negatives` is neither of its values.
    """

    def __init__(
        self, *, negatives: str = 'reversed', init_cfg: dict | None = None
    ) -> None:
        super().__init__(negatives, init_cfg)

    @torch.no_grad()
    def loss(
        self, z_local: Sequence[Float[Tensor, 'N D']], seeds: Int64[Tensor, 'N 3']
    ) -> dict[str, Float[Tensor, '']]:
        """Return auc_cosine and cos_ll, as `Affinity.loss` does.

        Args:
            z_local: M x (N, D), unit norm.
            seeds: (N, 3), the samples' seeds. They are not used.
        """
        positive = _cosine(torch.cat(self.positives(z_local)))
        negative = _cosine(torch.cat(self.negatives(z_local)))
        return dict(auc_cosine=auc(positive, negative), cos_ll=positive.mean())

    def push(self, z_local: Sequence[Float[Tensor, 'N D']]) -> Float[Tensor, '']:
        """Return the mean cosine over all pairs of locals, to be minimised."""
        return _cosine(torch.cat(self.positives(z_local))).mean()


def _cosine(pairs: Tensor) -> Tensor:
    first, second = pairs.chunk(2, dim=1)
    return F.cosine_similarity(first, second, dim=1)


def auc(positive: Float[Tensor, ' P'], negative: Float[Tensor, ' Q']) -> Float[Tensor, '']:
    """Return the chance that a positive scores above a negative. Ties count half."""
    ranked = negative.detach().float().sort().values
    below = torch.searchsorted(ranked, positive.detach().float().contiguous())
    upto = torch.searchsorted(ranked, positive.detach().float().contiguous(), right=True)
    return (below + upto).float().mean() / (2 * len(ranked))
