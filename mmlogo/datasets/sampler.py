"""The sampler that hands out (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mmlogo.registry import DATA_SAMPLERS
from mmlogo.views.seeds import ORDER_STREAM, SeededIndex, philox


@DATA_SAMPLERS.register_module()
class EpochSampler(Sampler):
    """Every sample once an epoch, dealt to the ranks like cards.

    Yields `SeededIndex`s, so that a view depends on (seed, epoch, index) alone and
    workers, persistent or not, need no state. Rank r of W takes every W-th
    sample from r: the i-th global batch holds the same samples for every W.

    Args:
        dataset: Anything with a length.
        shuffle: A new order each epoch, a function of (seed, epoch). Where
            shuffled, the last `len % W` samples of the order are dropped, so
            that all ranks take the same number of steps; where not, none is.
        seed: None draws one and shares it between the ranks.
    """

    def __init__(
        self, dataset: Sized, *, shuffle: bool = True, seed: int | None = None
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.total = len(dataset)
        self.shuffle = shuffle
        self.seed = int(sync_random_seed() if seed is None else seed)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[SeededIndex]:
        order = self._order()[self.rank :: self.world_size][: len(self)]
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
