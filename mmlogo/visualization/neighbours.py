"""The images that a network finds alike."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def nearest(query: Tensor, bank: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Cosines and positions of each query's nearest features, the nearest first.

    Args:
        query: (Q, D).
        bank: (B, D), B >= count.
        count: Neighbours.

    Returns:
        (Q, count) float32 in [-1, 1]; (Q, count) int64, positions in the bank.

    Raises:
        ValueError: If the bank is smaller than `count`.
    """
    if count > len(bank):
        raise ValueError(
            f'{count} neighbours of a bank of {len(bank)} images; use a larger bank'
        )
    cosine = F.normalize(query.float(), dim=1) @ F.normalize(bank.float(), dim=1).T
    found = cosine.topk(count, dim=1)
    return found.values, found.indices
