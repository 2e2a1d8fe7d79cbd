"""MoCo's queue of keys."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mmlogo.models.parts.gather import gather_batch


class Queue(nn.Module):
    """The last `length` keys of all processes. New keys overwrite the oldest.

    MoCo, arXiv 1911.05722, section 3.2. It starts with random unit vectors, as in the
    official code.

    Args:
        length: K, the number of keys it holds.
        dim: D, the length of a key.
    """

    keys: Tensor
    pointer: Tensor

    def __init__(self, *, length: int, dim: int) -> None:
        super().__init__()
        self.register_buffer('keys', F.normalize(torch.randn(length, dim), dim=1))
        # A tensor, so that the checkpoint has it and no step waits for a GPU to read it.
        self.register_buffer('pointer', torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_read_older)

    def negatives(self) -> Float[Tensor, 'K D']:
        """Return a snapshot (K, D). What is enqueued later does not change it."""
        return self.keys.clone()

    @torch.no_grad()
    def enqueue(self, keys: Float[Tensor, 'N D']) -> None:
        """Put the keys (N, D) of every process in the place of the oldest.

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
        rows = self.pointer + torch.arange(count, device=keys.device)
        # A pointer of another batch size may stand so that the rows go over the end.
        self.keys.index_copy_(0, rows % length, keys)
        self.pointer.add_(count).remainder_(length)


class AlignedQueues(nn.Module):
    """Several queues with one pointer, so that row j of all of them is one image.

    CGH, arXiv 2308.13392. They are the columns of one `Queue`.

    Args:
        length: K, the number of keys that each holds.
        dims: The length of the keys of each queue.
    """

    def __init__(self, *, length: int, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.queue = Queue(length=length, dim=sum(dims))
        columns = self.queue.keys.split(self.dims, dim=1)
        self.queue.keys.copy_(torch.cat([F.normalize(c, dim=1) for c in columns], dim=1))

    def negatives(self) -> tuple[Float[Tensor, 'K _'], ...]:
        """Return a snapshot (K, D) of each queue."""
        return self.queue.negatives().split(self.dims, dim=1)

    def enqueue(self, *keys: Float[Tensor, 'N _']) -> None:
        """Put the keys (N, D) of the same images into all queues.

        Raises:
            ValueError: If the keys of a global step do not divide the length.
        """
        self.queue.enqueue(torch.cat(keys, dim=1))


def _read_older(module: nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Read checkpoints of before `Clock`, which had the pointer in a module of its own."""
    pointer = state_dict.pop(f'{prefix}pointer.count', None)
    if pointer is not None:
        state_dict[f'{prefix}pointer'] = pointer
