"""The regressor f of LoGo's learned affinity."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mmlogo.models.parts.frozen import call_frozen

NORMS = ('joint_bn', 'separate_bn', 'layer_norm', 'none')


class Regressor(nn.Sequential):
    """f: [z1; z2] -> a score, which is higher for pairs that are more alike.

    LoGo, arXiv 2203.17205, figure 2: an MLP of the concatenated embeddings.

    Args:
        dim: D, the length of an embedding.
        hid_channels: Widths of the hidden layers.
        norm: What normalises the hidden layers. With 'joint_bn', positives and negatives
            pass BatchNorm in one batch. 'separate_bn' is the authors' release: each order
            of each kind passes in a batch of its own, four for two locals, so that the
            batch statistics give the label away. The others are 'layer_norm' and 'none'.
        norm_cfg: Type of the BatchNorm.

    Raises:
        ValueError: If `norm` is none of these.
    """

    def __init__(
        self, *, dim: int, hid_channels: Sequence[int], norm: str, norm_cfg: dict
    ) -> None:
        if norm not in NORMS:
            raise ValueError(f'affinity.norm={norm!r}, but it must be one of {NORMS}')
        widths = (2 * dim, *hid_channels)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers.append(nn.Linear(before, after))
            if norm.endswith('bn'):
                layers.append(build_norm_layer(norm_cfg, after)[1])
            elif norm == 'layer_norm':
                layers.append(nn.LayerNorm(after))
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers, nn.Linear(widths[-1], 1))
        self.separate = norm == 'separate_bn'

    def scores(
        self,
        positive: Sequence[Float[Tensor, 'N DD']],
        negative: Sequence[Float[Tensor, 'N DD']],
    ) -> tuple[Float[Tensor, ' P'], Float[Tensor, ' P']]:
        """Score pairs in training: f(positive) and f(negative), (P,) each.

        Args:
            positive: P / N orders of pairs, (N, 2D) each.
            negative: The same number of orders.
        """
        pairs = (*positive, *negative)
        if self.separate:
            scores = torch.cat([self(one) for one in pairs])
        else:
            scores = self(torch.cat(pairs))
        f_pos, f_neg = scores.squeeze(1).chunk(2)
        return f_pos, f_neg

    def judge(self, pairs: Float[Tensor, 'P DD']) -> Float[Tensor, ' P']:
        """Score pairs (P, 2D) with constant weights and running statistics, (P,).

        A pair is judged by itself, not by its batch.
        """
        return call_frozen(self, pairs).squeeze(1)
