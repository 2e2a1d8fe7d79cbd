"""The seeds of a sample, from which all of its randomness is computed.

A view, a noise vector, a place in a shuffled batch: each is a pure function of
(seed, epoch, sample index, stream). The sampler makes these three seeds and everything
downstream only reads them. So there is no random state to save, to seed per worker or to
lose.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

# Random streams of one sample. Views use streams 0, 1, 2, ... in the order of the config.
# Everything else uses streams far above these.
NOISE_STREAM = 1 << 16
SHUFFLE_STREAM = 1 << 17
ORDER_STREAM = 1 << 18  # the order of an epoch; only sample 0 uses it
CHOICE_STREAM = 1 << 19
SUBSTITUTE_STREAM = 1 << 20  # which image takes the place of a bad one

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


class SeededIndex(int):
    """A sample index that knows its epoch and seed.

    It is an int, so every MMEngine data set accepts it. `BaseDataset` passes it to its
    pipeline as `results['sample_idx']`. That is how a transform in a worker process
    learns the epoch, also in a worker that lives for many epochs.
    """

    epoch: int
    seed: int

    def __new__(cls, index: int, epoch: int, seed: int) -> SeededIndex:
        seeded = super().__new__(cls, index)
        seeded.epoch, seeded.seed = epoch, seed
        return seeded

    def __getnewargs__(self) -> tuple:  # for pickle and deepcopy
        return int(self), self.epoch, self.seed

    def __repr__(self) -> str:
        return f'SeededIndex({int(self)}, epoch={self.epoch}, seed={self.seed})'


class Seeds(NamedTuple):
    """The seeds of a batch. A data preprocessor gives them to a model as `data_samples`."""

    rows: Tensor  # (N, 3) int64, columns seed, epoch, index


def pack_seeds(indices: Sequence[SeededIndex]) -> Tensor:
    """Pack the seeds of samples into a tensor (N, 3), int64, columns seed, epoch, index.

    Raises:
        ValueError: If an index is no `SeededIndex` and so has no epoch.
    """
    try:
        rows = [(index.seed, index.epoch, int(index)) for index in indices]
    except AttributeError:
        raise ValueError(
            f'sample index {indices[0]!r} carries no epoch, so its views cannot be '
            "drawn; give the dataloader sampler=dict(type='EpochSampler', "
            'shuffle=True) and do not wrap the dataset in one that renumbers '
            'samples (RepeatDataset, ConcatDataset)'
        ) from None
    return torch.tensor(rows, dtype=torch.int64).view(-1, 3)


def fresh_seeds(count: int, device: torch.device | str = 'cpu') -> Tensor:
    """Draw seeds (count, 3) from torch's global random state."""
    return torch.randint(1 << 31, (count, 3), device=device)


def philox(seeds: Tensor, stream: int | Tensor, block: int | Tensor = 0) -> Tensor:
    """Compute four random 32-bit words per sample with Philox4x32-10.

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The
    counter is (block, stream, index, epoch), and the generator's key is the seed. It is
    plain integer arithmetic, so the words are the same on every device.

    Args:
        seeds: Seeds (N, 3) int64, columns seed, epoch, index.
        stream: Number of the random stream, below 2**32. One for all samples, (N,), or
            any shape that broadcasts with (N,).
        block: Number of the block of four words in the stream, of such a shape, too.
            Default: 0.

    Returns:
        Words (N, 4), or (..., N, 4) for such shapes, int64 in [0, 2**32).
    """
    state: Any = block, stream, *seeds.flip(1).unbind(1)
    if seeds.device.type != 'cpu':
        return torch.stack(_rounds(*state), dim=-1)
    # A worker draws for one sample. There NumPy's calls cost a fifth of torch's.
    state = (x.numpy() if isinstance(x, Tensor) else x for x in state)
    return torch.from_numpy(np.stack(_rounds(*state), axis=-1))


def _rounds(c0: Any, c1: Any, index: Any, epoch: Any, seed: Any) -> tuple:
    """Do the ten rounds on int64 tensors or arrays."""
    c2, c3 = index & _MASK, epoch & _MASK
    k0, k1 = seed & _MASK, (seed >> 32) & _MASK
    for _ in range(10):
        # int64 products overflow. The 64 bits that remain are the ones we need.
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((p1 >> 32) & _MASK) ^ c1 ^ k0,
            p1 & _MASK,
            ((p0 >> 32) & _MASK) ^ c3 ^ k1,
            p0 & _MASK,
        )
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def words(seeds: Tensor, streams: Sequence[int], blocks: Sequence[int]) -> Tensor:
    """Compute words of several streams and blocks for every sample, in one pass.

    Args:
        seeds: Seeds (N, 3) int64, columns seed, epoch, index.
        streams: Numbers of the S streams.
        blocks: Numbers of the B blocks of each stream.

    Returns:
        Words (S, B, N, 4), int64 in [0, 2**32). S * B calls of `philox` give the same.
    """
    numbers = torch.tensor([*streams, *blocks]).to(seeds.device, non_blocking=True)
    stream, block = numbers.split((len(streams), len(blocks)))
    return philox(seeds, stream[:, None, None], block[:, None])


def uniform(seeds: Tensor, streams: Sequence[int], blocks: Sequence[int]) -> Tensor:
    """Draw uniform numbers (S, B, N, 4), float64 in [0, 1), from `words`."""
    return words(seeds, streams, blocks).double() * 2.0**-32


def normal(seeds: Tensor, streams: Sequence[int], length: int) -> Tensor:
    """Draw standard normal vectors (S, N, length), float32, by Box-Muller."""
    drawn = words(seeds, streams, range((length + 3) // 4))  # (S, B, N, 4)
    u1, u2 = ((drawn.float() + 0.5) * 2.0**-32).chunk(2, dim=3)  # in (0, 1]
    radius, angle = torch.sqrt(-2 * torch.log(u1)), 2 * torch.pi * u2
    pairs = torch.cat((radius * torch.cos(angle), radius * torch.sin(angle)), dim=3)
    return pairs.transpose(1, 2).flatten(2)[:, :, :length]


def seeds_of(data_samples: object, like: Tensor) -> Tensor:
    """Return the seeds (N, 3) that came with a batch, or draw fresh ones.

    Batches of mmpretrain's own pipelines have no seeds. Fresh seeds depend on torch's
    global random state. The log says so once.

    Args:
        data_samples: What the data preprocessor returned. Ours returns `Seeds`.
        like: One view (N, ...) of the batch. Fresh seeds have its N and its device.
    """
    if isinstance(data_samples, Seeds):
        return data_samples.rows
    _warn_of_fresh_seeds()
    return fresh_seeds(len(like), like.device)


@functools.cache
def _warn_of_fresh_seeds() -> None:
    print_log(
        'The batches carry no seeds, so noise, shuffling and choices are drawn from '
        "torch's global random state: a resumed training draws others than an "
        'uninterrupted one. Train with a MultiCropPreprocessor and '
        "train_dataloader.sampler=dict(type='EpochSampler', shuffle=True) to have them "
        'repeatable',
        'current',
        logging.WARNING,
    )
