"""How the likeness of two crops of an image follows what they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from mmlogo.evaluation.dense import fixed_crops, fixed_seeds
from mmlogo.evaluation.features import EvaluationBatch, Features, pooled
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS
from mmlogo.views.seeds import CHOICE_STREAM, uniform
from mmlogo.views.spec import ViewSpec

# What of a crop (N, 3, S, S) is compared, as (N, D).
EMBEDDINGS: dict[str, Callable[[EvaluationBatch, Tensor], Tensor]] = dict(
    backbone=lambda batch, crop: pooled(batch.encode(crop), -1),
    neck=lambda batch, crop: pooled(batch.model.neck(batch.encode(crop)), 0),
    pixels=lambda batch, crop: crop.flatten(1),
)


def box_overlap(
    one: Int64[Tensor, '*N 4'], other: Int64[Tensor, '*N 4']
) -> Float[Tensor, ' *N']:
    """Return the intersection of two boxes over their union, in [0, 1].

    Args:
        one: Boxes: top, left, height, width, pixels.
        other: Boxes of the same shape.
    """
    start = torch.maximum(one[..., :2], other[..., :2])
    end = torch.minimum(one[..., :2] + one[..., 2:], other[..., :2] + other[..., 2:])
    shared = (end - start).clamp(min=0).prod(dim=-1)
    area = one[..., 2:].prod(dim=-1) + other[..., 2:].prod(dim=-1)
    return shared / (area - shared)


@dataclass(frozen=True)
class LocalPair:
    """Source of features (N, 2, D) of two local crops. Labels are their boxes (N, 2, 4).

    Args:
        embedding: A name in `EMBEDDINGS`.
        scale: Range of a crop's share of the image's area, in (0, 1].
        size: Side of a crop after resizing, pixels. None takes half the image's height.
    """

    embedding: str
    scale: tuple[float, float]
    size: int | None

    def __call__(self, batch: EvaluationBatch) -> Features:
        size = self.size or batch.inputs.shape[2] // 2
        spec = ViewSpec(role='local', size=size, scale=self.scale)
        crops, boxes = fixed_crops(batch, [spec, spec])
        x = [EMBEDDINGS[self.embedding](batch, crop) for crop in crops]
        label = torch.stack(boxes, dim=1).to(batch.index.device)
        return Features(torch.stack(x, dim=1), label, batch.index)


@METRICS.register_module()
class CalibrationMetric(FeatureMetric):
    """Whether two crops of an image are as alike as the content that they share.

    Two local crops of each query have a known overlap s, the intersection of their boxes
    over the union. The cosine of their features is regressed on s by least squares:

    - `slope`, how far the cosine falls from equal crops to crops that share nothing. A
      network that gives every crop of an image one vector has slope 0.
    - `at_zero`, the cosine of crops of an image that share nothing, by the fit.
    - `other`, the mean cosine of crops of different images, each paired with one that its
      index chooses at random, so that the order of the data does not matter. What `at_zero`
      has above it is the likeness of an image's parts that no shared pixel explains.
    - `r`, the correlation of cosine and overlap, in [-1, 1].
    - `shuffled_slope`, the control: the slope if the second crop is of that other image. It
      is what the size of the first crop explains alone: larger crops overlap more, and are
      more like any other crop.

    The metric needs neither labels nor a bank. LoGo (arXiv 2203.17205) pushes local crops
    apart, so it predicts a larger slope and a lower `at_zero` than its baseline has.

    Args:
        features: What is compared: 'backbone', the default, the last stage globally
            averaged; 'neck', the embedding z that LoGo pushes apart; 'pixels', the crops
            themselves, the control without a network.
        scale: Range of a crop's share of the image's area, in (0, 1]. Default: (0.05,
            0.4).
        size: Side of a crop after resizing, pixels. Default: None, which takes half the
            image's height.
        prefix: Prefix of the scalars' names. Default: 'calibration'.

    Raises:
        ValueError: If `features` is none of its values, or if there are fewer than three
            queries, or if all pairs overlap alike.
    """

    needs_bank = False
    needs_labels = False

    def __init__(
        self,
        *,
        features: str = 'backbone',
        scale: Sequence[float] = (0.05, 0.4),
        size: int | None = None,
        prefix: str = 'calibration',
    ) -> None:
        if features not in EMBEDDINGS:
            raise ValueError(
                f'features={features!r}, but it must be one of {[*EMBEDDINGS]}'
            )
        low, high = scale
        super().__init__(features=LocalPair(features, (low, high), size), prefix=prefix)
        self.uses_neck = features == 'neck'

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        one, other = F.normalize(query.feature, dim=2).unbind(1)  # (N, D) each
        overlap = box_overlap(*query.label.unbind(1)).double()  # (N,)
        if len(overlap) < 3 or overlap.std() == 0:
            raise ValueError(
                f'{len(overlap)} pairs of crops do not have different overlaps, and a '
                'slope needs them; give 3 images or more, and a wider range of `scale`'
            )
        cosine = (one * other).sum(dim=1).double()
        apart = (one * other[another(query.index)]).sum(dim=1).double()
        slope, at_zero = least_squares(overlap, cosine)
        return dict(
            slope=slope,
            at_zero=at_zero,
            other=apart.mean().item(),
            r=torch.corrcoef(torch.stack((overlap, cosine)))[0, 1].nan_to_num().item(),
            shuffled_slope=least_squares(overlap, apart)[0],
        )


def another(index: Int64[Tensor, ' N']) -> Int64[Tensor, ' N']:
    """Return for each sample the place of another one, N >= 2.

    The samples' indices alone decide it, and no two samples have the same.
    """
    drawn = uniform(fixed_seeds(index.cpu()), [CHOICE_STREAM], [0])[0, 0, :, 0]
    order = drawn.argsort().to(index.device)
    partner = torch.empty_like(order)
    partner[order] = order.roll(-1)
    return partner


def least_squares(x: Float[Tensor, ' N'], y: Float[Tensor, ' N']) -> tuple[float, float]:
    """Return slope and intercept of the line that fits y best."""
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return slope.item(), (y.mean() - slope * x.mean()).item()
