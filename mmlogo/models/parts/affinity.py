"""LoGo's learned affinity: a regressor that tells pairs of one image from others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlogo.models.parts.frozen import call_frozen
from mmlogo.models.parts.gather import gather_batch, own_rows
from mmlogo.registry import MODELS
from mmlogo.views.seeds import NOISE_STREAM, normal

NORMS = ('joint_bn', 'separate_bn', 'layer_norm', 'none')
NEGATIVES = ('reversed', 'next')
OBJECTIVES = ('logistic', 'difference')


@MODELS.register_module()
class Affinity(BaseModule):
    """f: [z1; z2] -> how alike two local embeddings are; higher is more alike.

    LoGo, arXiv 2203.17205, equations 5 and 6, figure 2. Two games are played with
    it: `loss` trains f on embeddings held constant, `push` moves the embeddings
    against f held constant. They share no gradient.

    Args:
        dim: D, length of an embedding.
        hid_channels: Widths of the hidden layers.
        norm: 'joint_bn': BatchNorm with positives and negatives in one batch.
            'separate_bn': each in a batch of its own, as the authors' release
            has it; the label can then be read from the batch statistics.
            'layer_norm', 'none'.
        norm_cfg: BatchNorm's type; SyncBN keeps the f of all processes one.
        noise: Gaussian noise on positives, standard deviation noise / sqrt(D) per
            component; each embedding has its own, the same in both orders.
        negatives: The other image of a negative pair: 'reversed', sample n with
            sample N - 1 - n of the global batch; 'next', with sample n + 1.
        objective: 'logistic', softplus(-f(pos)) + softplus(f(neg)), bounded
            below, chance 2 ln 2. 'difference', f(neg) - f(pos), equation 6.
    """

    def __init__(
        self,
        *,
        dim: int,
        hid_channels: Sequence[int] = (256, 256),
        norm: str = 'joint_bn',
        norm_cfg: dict | None = None,
        noise: float = 0.3,
        negatives: str = 'reversed',
        objective: str = 'logistic',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value, allowed in (
            ('norm', norm, NORMS),
            ('negatives', negatives, NEGATIVES),
            ('objective', objective, OBJECTIVES),
        ):
            if value not in allowed:
                raise ValueError(
                    f'affinity.{name}={value!r}, but it must be one of {allowed}'
                )
        self.norm, self.negatives, self.objective = norm, negatives, objective
        self.noise = noise / math.sqrt(dim)
        norm_cfg = norm_cfg or dict(type='SyncBN')
        widths = (2 * dim, *hid_channels)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers.append(nn.Linear(before, after))
            if norm.endswith('bn'):
                layers.append(build_norm_layer(norm_cfg, after)[1])
            elif norm == 'layer_norm':
                layers.append(nn.LayerNorm(after))
            layers.append(nn.ReLU(inplace=True))
        self.f = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def loss(
        self, z_local: Sequence[Float[Tensor, 'N D']], keys: Int64[Tensor, 'N 3']
    ) -> dict[str, Float[Tensor, '']]:
        """Omega of equation 6, as a loss for f alone.

        Args:
            z_local: M x (N, D), unit norm; detached here.
            keys: (N, 3), the samples' keys.

        Returns:
            loss_affinity; auc_affinity and auc_cosine, the areas under the ROC
            curve of f and of plain cosine on a mixed batch; cos_ll, the mean
            cosine of two locals of an image.
        """
        z_local = [z.detach() for z in z_local]
        with torch.autocast(z_local[0].device.type, enabled=False):
            positive, negative = self.pairs(z_local, keys)
            f_pos, f_neg = self.score(positive, negative)
            if self.objective == 'logistic':
                omega = F.softplus(-f_pos).mean() + F.softplus(f_neg).mean()
            else:
                omega = f_neg.mean() - f_pos.mean()
            return dict(
                loss_affinity=omega, **self.diagnose(positive, negative, f_pos, f_neg)
            )

    def push(self, z_local: Sequence[Float[Tensor, 'N D']]) -> Float[Tensor, '']:
        """l_a of equation 5, to be minimised by the encoder; f is a constant.

        Mean over both orders of all pairs of locals. Its BatchNorm uses running
        statistics: an embedding is judged by itself, not by its batch.
        """
        with torch.autocast(z_local[0].device.type, enabled=False):
            pairs = [torch.cat(pair, dim=1) for pair in itertools.permutations(z_local, 2)]
            score = call_frozen(self.f, torch.cat(pairs)).squeeze(1)
            return (F.softplus(score) if self.objective == 'logistic' else score).mean()

    def pairs(
        self, z_local: Sequence[Float[Tensor, 'N D']], keys: Int64[Tensor, 'N 3']
    ) -> tuple[Float[Tensor, 'P DD'], Float[Tensor, 'P DD']]:
        """Positive and negative pairs, each (P, 2D), P = M (M - 1) N."""
        streams = range(NOISE_STREAM, NOISE_STREAM + len(z_local))
        noise = self.noise * normal(keys, streams, z_local[0].shape[1])
        noisy = [z + eps for z, eps in zip(z_local, noise, strict=True)]
        others = [self.other_image(z) for z in z_local]
        order = list(itertools.permutations(range(len(z_local)), 2))
        positive = torch.cat([torch.cat((noisy[a], noisy[b]), dim=1) for a, b in order])
        negative = torch.cat([torch.cat((z_local[a], others[b]), dim=1) for a, b in order])
        return positive, negative

    def other_image(self, z: Float[Tensor, 'N D']) -> Float[Tensor, 'N D']:
        """(N, D) of other samples of the global batch, never the same one."""
        everyone = gather_batch(z)
        count = len(everyone)
        if count < 2:
            raise ValueError(
                'the affinity needs negatives from another image, and the global batch '
                'holds one; raise the batch size'
            )
        if self.negatives == 'next':
            return own_rows(everyone.roll(-1, dims=0))
        everyone = everyone.flip(0)
        if count % 2:  # the middle sample would be its own negative
            everyone[count // 2] = everyone[0]
        return own_rows(everyone)

    def score(
        self, positive: Float[Tensor, 'P DD'], negative: Float[Tensor, 'P DD']
    ) -> tuple[Float[Tensor, ' P'], Float[Tensor, ' P']]:
        """F of both, (P,) each, in one batch or two as `norm` has it."""
        if self.norm == 'separate_bn':
            return self.f(positive).squeeze(1), self.f(negative).squeeze(1)
        joint = self.f(torch.cat((positive, negative))).squeeze(1)
        return joint[: len(positive)], joint[len(positive) :]

    @torch.no_grad()
    def diagnose(
        self, positive: Tensor, negative: Tensor, f_pos: Tensor, f_neg: Tensor
    ) -> dict[str, Tensor]:
        if self.norm == 'separate_bn':  # what f knows without the batch's statistics
            mixed = call_frozen(self.f, torch.cat((positive, negative))).squeeze(1)
            f_pos, f_neg = mixed[: len(positive)], mixed[len(positive) :]
        cos_pos, cos_neg = (_cosine(pairs) for pairs in (positive, negative))
        return dict(
            auc_affinity=auc(f_pos, f_neg),
            auc_cosine=auc(cos_pos, cos_neg),
            cos_ll=cos_pos.mean(),
        )


def _cosine(pairs: Tensor) -> Tensor:
    first, second = pairs.chunk(2, dim=1)
    return F.cosine_similarity(first, second, dim=1)


def auc(positive: Float[Tensor, ' P'], negative: Float[Tensor, ' Q']) -> Float[Tensor, '']:
    """Chance that a positive scores above a negative, ties counting half."""
    ranked = negative.detach().float().sort().values
    below = torch.searchsorted(ranked, positive.detach().float().contiguous())
    upto = torch.searchsorted(ranked, positive.detach().float().contiguous(), right=True)
    return (below + upto).float().mean() / (2 * len(ranked))
