"""Shuffled BN: keys are normalised together with other samples than their queries are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from mmengine.dist import get_dist_info
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.models.parts.gather import gather_batch, own_rows
from mmlogo.models.parts.norms import SplitBatchNorm2d
from mmlogo.models.parts.queue import AlignedQueues, Queue
from mmlogo.models.parts.teacher import Teacher
from mmlogo.views.seeds import SHUFFLE_STREAM, philox


@torch.no_grad()
def shuffled(
    encode: Callable[[Tensor], tuple[Tensor, ...]],
    x: Float[Tensor, 'N ...'],
    seeds: Int64[Tensor, 'N 3'],
    view: int,
) -> tuple[Tensor, ...]:
    """Return `encode(x)`, computed with the samples of all processes in another order.

    MoCo, arXiv 1911.05722, section 3.3. With BatchNorm per process (or per split,
    `SplitBN`), a query and its key must not share a batch. Otherwise the model can lower
    the loss by reading the batch's statistics. The order is a function of the samples'
    seeds, so W processes make the same batches as W splits in one process.

    Args:
        encode: Function of (N, ...) that returns one or several (N, ...), such as a
            `Teacher`.
        x: This process's samples (N, ...).
        seeds: Their seeds (N, 3).
        view: Number of the view. Each view has its own order.

    Returns:
        The outputs of `encode`, in the order of `x`.
    """
    order = shuffle_order(gather_batch(seeds), view)
    restored = []
    for encoded in encode(own_rows(gather_batch(x)[order])):
        dealt = gather_batch(encoded)
        rows = torch.empty_like(dealt)
        rows[order] = dealt
        restored.append(own_rows(rows))
    return tuple(restored)


def shuffles_in_vain(model: nn.Module) -> bool:
    """Return True if shuffling has no effect, so that BatchNorm can give the key away.

    It has none on one process, with plain BatchNorm over the whole batch and a queue of
    negatives.
    """
    queues = [part for part in model.modules() if isinstance(part, (Queue, AlignedQueues))]
    norms = [
        norm
        for part in model.modules()
        if isinstance(part, Teacher)
        for norm in part.modules()
        if isinstance(norm, _BatchNorm) and not isinstance(norm, SplitBatchNorm2d)
    ]
    whole = any(norm.training for norm in norms)
    return bool(queues) and whole and get_dist_info()[1] == 1


def shuffle_order(seeds: Int64[Tensor, 'N 3'], view: int) -> Int64[Tensor, ' N']:
    """Return a permutation (N,) of N samples, a function of their seeds (N, 3)."""
    words = philox(seeds, SHUFFLE_STREAM + view)
    return torch.argsort((words[:, 0] << 31) | (words[:, 1] >> 1))
