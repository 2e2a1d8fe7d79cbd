"""Batches across processes, in the order one process would have had.

`EpochSampler` deals samples like cards: rank r of W holds samples r, r + W, ...
of the global batch. Gathering puts them back in that order, so that everything
that looks at the global batch (negatives, queues, permutations) sees in W
processes what it would have seen in one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather, all_reduce_params, get_dist_info
from torch import Tensor
from torch.distributed.nn import functional as differentiable


@torch.no_grad()
def gather_batch(x: Tensor) -> Tensor:
    """Gather (N, ...) of every rank to (W * N, ...), without gradient."""
    if get_dist_info()[1] == 1:
        return x.detach()
    return torch.stack(all_gather(x.detach().contiguous()), dim=1).flatten(0, 1)


def gather_with_gradient(x: Tensor) -> Tensor:
    """Gather (N, ...) of every rank to (W * N, ...), rank after rank.

    The gradient of every rank's loss flows back to the rank that a row came from, where
    they are summed. So a loss of the gathered batch, which is the same on every rank, has
    W times its gradient on each, and the mean over ranks that DistributedDataParallel takes
    is the gradient of one process with the whole batch.
    """
    if get_dist_info()[1] == 1:
        return x
    return torch.cat(differentiable.all_gather(x.contiguous()))


@torch.no_grad()
def process_mean(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the mean of each tensor over all processes, in one communication."""
    means = [x.clone() for x in tensors]
    all_reduce_params(means, op='mean')
    return means


def own_rows(x: Tensor) -> Tensor:
    """Return this rank's rows (N, ...) of a gathered batch (W * N, ...)."""
    rank, world_size = get_dist_info()
    return x[rank::world_size]
