"""Features of a data set, from one or many processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from torch import Tensor

SOURCES = ('backbone', 'neck')


class Features(NamedTuple):
    """N samples in the order of their index, each once."""

    feature: Tensor  # (N, D) float32
    label: Tensor  # (N,) int64
    index: Tensor  # type: ignore[assignment]  # (N,) int64; hides tuple.index


@torch.no_grad()
def extract(model: Any, data: dict, sources: Iterable[str]) -> dict[str, Tensor]:
    """Features (B, D) float32 of an evaluation batch, by source, in one forward.

    Args:
        model: An mmpretrain self-supervised model, unwrapped, in eval mode.
        data: A batch of its evaluation loader.
        sources: Of `SOURCES`: 'backbone', globally averaged; 'neck', its output.
    """
    inputs = model.data_preprocessor(data, False)['inputs']
    x = model(inputs, mode='tensor')
    # of a neck's embeddings the first, the global one; of a backbone's stages the last
    return {
        source: pooled(model.neck(x), 0) if source == 'neck' else pooled(x, -1)
        for source in sources
    }


def pooled(x: Tensor | tuple, which: int) -> Tensor:
    """The `which`-th of some outputs as (N, D) float32, maps globally averaged."""
    x = x[which] if isinstance(x, (tuple, list)) else x
    return (F.adaptive_avg_pool2d(x, 1) if x.ndim == 4 else x).flatten(1).float()


def labels_and_indices(data: dict) -> tuple[Tensor, Tensor]:
    """Labels and sample indices of a batch, ours or mmpretrain's.

    Raises:
        ValueError: If the batch has no labels or no indices.
    """
    if 'gt_label' in data:
        label, index = data['gt_label'], data['sample_idx']
    else:
        try:
            samples = data['data_samples']
            label = torch.cat([sample.gt_label.view(-1) for sample in samples])
            index = torch.tensor([sample.sample_idx for sample in samples])
        except (KeyError, AttributeError) as error:
            raise ValueError(
                f'a k-NN batch needs a label and an index per sample ({error}); end the '
                "pipeline with dict(type='PackImage') and use a data set with labels"
            ) from None
    if len(label) and int(label.min()) < 0:
        raise ValueError(
            'k-NN needs labels and these images have none (label -1); use a labelled '
            'split for the bank and the queries, or set val_cfg, val_dataloader and '
            'val_evaluator to None'
        )
    return label, index


def assemble(parts: list[Features]) -> Features:
    """Batches of every process as one set: sorted by index, duplicates dropped.

    Samplers pad uneven shares with repeated samples; those are counted once.
    """
    feature, label, index = (
        _gather_rows(torch.cat(column)) for column in zip(*parts, strict=True)
    )
    index, order = index.sort(stable=True)
    first = torch.ones_like(index, dtype=torch.bool)
    first[1:] = index[1:] != index[:-1]
    order = order[first]
    return Features(feature[order], label[order], index[first])


def _gather_rows(x: Tensor) -> Tensor:
    """Rows of all processes; they may hold different numbers of rows."""
    if get_world_size() == 1:
        return x
    counts = all_gather(torch.tensor([len(x)], device=x.device))
    longest = max(int(count) for count in counts)
    padded = x.new_zeros((longest, *x.shape[1:]))
    padded[: len(x)] = x
    gathered = all_gather(padded)
    return torch.cat([rows[: int(n)] for rows, n in zip(gathered, counts, strict=True)])
