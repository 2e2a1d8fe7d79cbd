"""The sampler that gives every sample its seeds (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmlogo.registry import DATA_SAMPLERS
from mmlogo.views.seeds import ORDER_STREAM, SeededIndex, philox


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Deal every sample once per epoch to the ranks, in turn.

    The sampler yields `SeededIndex`s. So a view depends on (seed, epoch, index) alone, and
    worker processes need no random state. Rank r of W ranks takes every W-th sample from
    sample r. So global batch i has the same samples for every W.

    Args:
        dataset: Anything with a length.
        shuffle: With True, the default, each epoch has a new order, a function of (seed,
            epoch). The last `len % W` samples of the order are dropped, so that all ranks
            take the same number of steps. With False, the order is that of the data set
            and no sample is dropped.
        seed: Seed of the order and of the views. Default: None, which draws a seed and
            shares it between the ranks.
    """

    def __init__(
        self, dataset: Sized, *, shuffle: bool = True, seed: int | None = None
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.total = len(dataset)
        self.shuffle = shuffle
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.epoch = 0
        self.begin = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    @contextmanager
    def after(self, count: int) -> Iterator[None]:
        """Context manager. Leave out this rank's first `count` samples of an epoch."""
        self.begin = count
        try:
            yield
        finally:
            self.begin = 0

    def __iter__(self) -> Iterator[SeededIndex]:
        order = self._order()[self.rank :: self.world_size][self.begin : len(self)]
        return (SeededIndex(index, self.epoch, self.seed) for index in order)

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.total))
        generator = torch.Generator().manual_seed(self._epoch_seed())
        return torch.randperm(self.total, generator=generator).tolist()

    def _epoch_seed(self) -> int:
        # Not seed + epoch: seed 0 in epoch 1 would shuffle as seed 1 in epoch 0.
        first = torch.tensor([[self.seed, self.epoch, 0]])
        return int(philox(first, ORDER_STREAM)[0, 0])

    def __len__(self) -> int:
        if self.shuffle:
            return self.total // self.world_size
        return len(range(self.rank, self.total, self.world_size))
