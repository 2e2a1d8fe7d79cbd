"""MoCo's queue of keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mmlogo.models.parts.counter import Counter
from mmlogo.models.parts.gather import gather_batch


class Queue(nn.Module):
    """The last `length` keys of all processes, oldest overwritten first.

    MoCo, arXiv 1911.05722, section 3.2. Filled at the start with random unit
    vectors, as the official code has it.

    Args:
        length: Keys held, K.
        dim: Length of a key, D.
    """

    keys: Tensor

    def __init__(self, *, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer('keys', F.normalize(torch.randn(length, dim), dim=1))
        self.pointer = Counter()

    def negatives(self) -> Float[Tensor, 'K D']:
        """A snapshot (K, D): what is enqueued later does not change it."""
        return self.keys.clone()

    @torch.no_grad()
    def enqueue(self, keys: Float[Tensor, 'N D']) -> None:
        """Put the keys (N, D) of every process in place of the oldest.

        Raises:
            ValueError: If the keys of a global step do not divide the length.
        """
        keys = gather_batch(keys).to(self.keys.dtype)
        length, count = len(self.keys), len(keys)
        if length % count:
            raise ValueError(
                f'queue length {length} is not a multiple of the {count} keys of a '
                'global step; change `queue.length` or the batch size'
            )
        start = self.pointer.value
        self.keys[start : start + count] = keys
        self.pointer.set((start + count) % length)


class AlignedQueues(nn.Module):
    """Several queues under one pointer: row j of all of them is one image.

    CGH, arXiv 2308.13392. They are the columns of one `Queue`.

    Args:
        length: Keys held by each, K.
        dims: Length of each one's keys.
    """

    def __init__(self, *, length: int, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.queue = Queue(length=length, dim=sum(dims))
        columns = self.queue.keys.split(self.dims, dim=1)
        self.queue.keys.copy_(torch.cat([F.normalize(c, dim=1) for c in columns], dim=1))

    def negatives(self) -> tuple[Float[Tensor, 'K _'], ...]:
        """A snapshot (K, D) of each."""
        return self.queue.negatives().split(self.dims, dim=1)

    def enqueue(self, *keys: Float[Tensor, 'N _']) -> None:
        """Put the keys (N, D) of the same images into all of them; as `Queue` does."""
        self.queue.enqueue(torch.cat(keys, dim=1))
