"""Features of a data set, extracted by one or several processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_world_size
from mmpretrain.models import ImageClassifier
from torch import Tensor


class Features(NamedTuple):
    """Features of N samples, in the order of their index. No sample occurs twice."""

    feature: Tensor  # (N, ...) float32; (N, D) from 'backbone' and 'neck'
    label: Tensor  # (N, ...) int64; -1 is a sample without a label
    index: Tensor  # type: ignore[assignment]  # (N,) int64; hides tuple.index


EMPTY = Features(torch.empty(0), torch.empty(0).long(), torch.empty(0).long())


class EvaluationBatch:
    """A batch of an evaluation loader. Outputs of the model are computed when asked for.

    Args:
        model: An mmpretrain self-supervised model, unwrapped, in eval mode.
        data: The batch.
        labelled: With True, the default, every sample must have a label.
    """

    def __init__(self, model: Any, data: dict, labelled: bool = True) -> None:
        self.model, self.data = model, data
        label, index = labels_and_indices(data, labelled)
        self.label, self.index = label.to(self.inputs.device), index.to(self.inputs.device)

    @cached_property
    def inputs(self) -> Tensor:
        """Images (N, 3, H, W), normalised."""
        data = {key: self.data[key] for key in self.data if key != 'gt_label'}
        return self.model.data_preprocessor(data, False)['inputs']

    @cached_property
    def maps(self) -> Tensor | tuple:
        """The backbone's output. It is computed once and shared by all metrics."""
        return self.encode(self.inputs)

    def encode(self, x: Tensor) -> Tensor | tuple:
        """Return the backbone's output for images (N, 3, H, W)."""
        if isinstance(self.model, ImageClassifier):
            # A classifier's mode 'tensor' gives the head's scores.
            return self.model.extract_feat(x, stage='backbone')
        return self.model(x, mode='tensor')

    def features(self, x: Tensor) -> Features:
        """Return `x` with this batch's labels and indices."""
        return Features(x, self.label, self.index)


Source = Callable[[EvaluationBatch], Features]


def of_backbone(batch: EvaluationBatch) -> Features:
    """Return features (N, D) of the last stage, globally averaged."""
    return batch.features(pooled(batch.maps, -1))


def of_neck(batch: EvaluationBatch) -> Features:
    """Return the first output of the neck, the global embedding (N, D)."""
    return batch.features(pooled(batch.model.neck(batch.maps), 0))


SOURCES: dict[str, Source] = dict(backbone=of_backbone, neck=of_neck)


@torch.no_grad()
def extract(
    model: Any, data: dict, sources: Iterable[str | Source], labelled: bool = True
) -> dict[str | Source, Features]:
    """Return features of an evaluation batch by source.

    The backbone's forward pass is shared by all sources that use `EvaluationBatch.maps`.

    Args:
        model: An mmpretrain self-supervised model, unwrapped, in eval mode.
        data: A batch of an evaluation loader.
        sources: Names in `SOURCES`, or functions of an `EvaluationBatch`.
        labelled: With True, the default, every sample must have a label.

    Raises:
        ValueError: If the batch lacks labels or indices, or if a feature is not a finite
            number.
    """
    batch = EvaluationBatch(model, data, labelled)
    found = {
        source: (SOURCES[source] if isinstance(source, str) else source)(batch)
        for source in sources
    }
    for features in found.values():
        finite = features.feature.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise ValueError(
                f'the features of sample {int(features.index[~finite][0])} are not finite '
                'numbers: the weights are broken, probably by a run that diverged; use '
                'an earlier checkpoint, or train with a lower learning rate'
            )
    return found


def pooled(x: Tensor | tuple, which: int) -> Tensor:
    """Return the output number `which` as (N, D) float32. Maps are globally averaged.

    Args:
        x: Outputs, or one output, each a map (N, D, H, W) or vectors (N, D).
        which: Position of the output. It does not matter where `x` is one output.
    """
    x = x[which] if isinstance(x, (tuple, list)) else x
    return (F.adaptive_avg_pool2d(x, 1) if x.ndim == 4 else x).flatten(1).float()


def labels_and_indices(data: dict, labelled: bool = True) -> tuple[Tensor, Tensor]:
    """Return labels and sample indices (N,) of a batch of ours or of mmpretrain.

    Args:
        data: The batch.
        labelled: With True, the default, every sample must have a label. With False, a
            sample without a label gets -1.

    Raises:
        ValueError: If the batch has no indices, or if labels are required and missing.
    """
    if 'sample_idx' in data and ('gt_label' in data or not labelled):
        index = data['sample_idx']
        label = data.get('gt_label', torch.full_like(index, -1))
    else:
        try:
            samples = data['data_samples']
            index = torch.tensor([sample.sample_idx for sample in samples])
            label = torch.cat(
                [
                    sample.gt_label.view(-1)
                    if labelled or 'gt_label' in sample
                    else torch.tensor([-1])
                    for sample in samples
                ]
            )
        except (KeyError, AttributeError) as error:
            needed = 'a label and an index' if labelled else 'an index'
            remedy = ' and use a data set with labels' if labelled else ''
            raise ValueError(
                f'a batch of an evaluation needs {needed} per sample ({error}); end the '
                f"pipeline with dict(type='PackImage'){remedy}"
            ) from None
    if labelled and len(label) and int(label.min()) < 0:
        raise ValueError(
            'k-NN needs labels and these images have none (label -1); use a labelled '
            'split for the bank and the queries, or set val_cfg, val_dataloader and '
            'val_evaluator to None'
        )
    return label, index


def assemble(parts: list[Features]) -> Features:
    """Join the batches of all processes, sorted by index and without duplicates.

    Samplers repeat samples to give every process the same number. Repeated samples are
    dropped.
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
    """Gather the rows of all processes. Processes may have different numbers of rows."""
    if get_world_size() == 1:
        return x
    counts = all_gather(torch.tensor([len(x)], device=x.device))
    longest = max(int(count) for count in counts)
    padded = x.new_zeros((longest, *x.shape[1:]))
    padded[: len(x)] = x
    gathered = all_gather(padded)
    return torch.cat([rows[: int(n)] for rows, n in zip(gathered, counts, strict=True)])
