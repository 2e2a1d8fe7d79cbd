"""Metrics of dense features: patches, crops, segments.

These are what learning from local and global views claims to improve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from mmengine.dist import all_reduce, get_dist_info
from torch import Tensor

from mmlogo.evaluation.features import EvaluationBatch, Features, pooled
from mmlogo.evaluation.knn import KNNMetric
from mmlogo.evaluation.linear import fit_linear
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS
from mmlogo.views.apply import cut
from mmlogo.views.draw import draw_all_boxes
from mmlogo.views.seeds import CHOICE_STREAM, uniform
from mmlogo.views.spec import ViewSpec

IGNORE = 255  # pixels of this class are neither trained on nor scored


def fixed_seeds(index: Int64[Tensor, ' N']) -> Int64[Tensor, 'N 3']:
    """Return the seeds of samples for seed 0 and epoch 0.

    With them, every evaluation draws the same crops and cells.
    """
    index = index.cpu()
    return torch.stack((torch.zeros_like(index), torch.zeros_like(index), index), dim=1)


def last_map(batch: EvaluationBatch) -> Float[Tensor, 'N D h w']:
    """Return the backbone's last feature map, float32.

    Raises:
        ValueError: If the backbone's output is not a map.
    """
    maps = batch.maps
    x = maps[-1] if isinstance(maps, (tuple, list)) else maps
    if x.ndim != 4:
        raise ValueError(
            f'a dense probe needs the feature map of a backbone and got {x.ndim} '
            'dimensions; take its pooling out, or leave the dense metrics out'
        )
    return x.float()


def masks_of(batch: EvaluationBatch) -> Int64[Tensor, 'N H W']:
    """Return the class of every pixel.

    Raises:
        ValueError: If the data set has no masks.
    """
    if 'gt_sem_seg' not in batch.data:
        raise ValueError(
            'a segmentation probe needs masks; give the bank and the queries a data set '
            'that has them, such as CocoMasks'
        )
    return batch.data['gt_sem_seg'].to(batch.inputs.device)


def of_cells(masks: Int64[Tensor, 'N H W'], h: int, w: int) -> Int64[Tensor, 'N h w']:
    """Return the commonest pixel class of every cell.

    Raises:
        ValueError: If the cells do not divide the mask.
    """
    high, wide = masks.shape[1] // h, masks.shape[2] // w
    if (h * high, w * wide) != masks.shape[1:]:
        raise ValueError(
            f'masks of {tuple(masks.shape[1:])} pixels do not divide into the {h} x {w} '
            "cells of the feature map; make the image size a multiple of the network's "
            'stride'
        )
    cells = masks.unfold(1, high, high).unfold(2, wide, wide)  # (N, h, w, high, wide)
    return cells.flatten(3).mode(dim=3).values


@dataclass(frozen=True)
class Cells:
    """Source of single cells of the last map. Labels come from masks, else from images.

    Args:
        per_image: Number of cells per image. The sample's index decides which. Default:
            None, which takes all cells.
        leave_out: Cells of these classes are left out. Default: no class.
    """

    per_image: int | None = None
    leave_out: tuple[int, ...] = ()

    def __call__(self, batch: EvaluationBatch) -> Features:
        x = last_map(batch)
        n, d, h, w = x.shape
        leave_out = self.leave_out
        if 'gt_sem_seg' in batch.data:
            label = of_cells(masks_of(batch), h, w).flatten(1)  # (N, hw)
            leave_out += (IGNORE,)
        elif (batch.label < 0).any():
            raise ValueError(
                'k-NN of patches needs a mask or a label of every image; give the bank '
                'and the queries a labelled data set'
            )
        else:
            label = batch.label[:, None].expand(n, h * w)
        order = torch.arange(h * w, device=x.device).expand(n, h * w)
        if self.per_image is not None:
            blocks = range((h * w + 3) // 4)
            u = uniform(fixed_seeds(batch.index), [CHOICE_STREAM], blocks)[0]  # (B, N, 4)
            drawn = u.transpose(0, 1).flatten(1)[:, : h * w]
            order = drawn.argsort(dim=1)[:, : self.per_image].to(x.device)
        cells = x.flatten(2).transpose(1, 2)  # (N, hw, D)
        chosen = cells.gather(1, order[..., None].expand(-1, -1, d)).flatten(0, 1)
        label = label.gather(1, order).flatten()
        index = (batch.index[:, None] * h * w + order).flatten()
        keep = ~torch.isin(label, torch.tensor(leave_out, device=x.device))
        return Features(chosen[keep], label[keep], index[keep])


@METRICS.register_module()
class PatchKNNMetric(KNNMetric):
    """k-NN of single cells of the last feature map: `patch_knn/top1_k20`, per cent.

    Both the bank and the queries consist of cells. If the data set has masks, a cell has
    the class of most of its pixels. Otherwise it has the class of its image.

    Args:
        per_image: Number of cells drawn per image, the same ones at every evaluation.
            None takes all cells. Default: 4.
        leave_out: Cells of these classes are left out. Use it for a background that
            covers nearly everything. Default: no class.
        k: Number of neighbours, or several numbers, each >= 1. Default: 20.
        temperature: Temperature of the 'exp' weighting, > 0. Default: 0.07.
        weighting: 'exp', the default, or 'majority'. `knn_predict` explains them.
        prefix: Prefix of the scalars' names. Default: 'patch_knn'.

    Raises:
        ValueError: If an argument is out of its range, if an image has neither a mask nor
            a label, or if the bank or the queries have no cell left.
    """

    needs_labels = False  # masks are enough

    def __init__(
        self,
        *,
        per_image: int | None = 4,
        leave_out: Sequence[int] = (),
        k: int | Sequence[int] = 20,
        temperature: float = 0.07,
        weighting: str = 'exp',
        prefix: str = 'patch_knn',
    ) -> None:
        if per_image is not None and per_image < 1:
            raise ValueError(f'per_image={per_image}, but it must be >= 1 or None')
        super().__init__(
            k=k,
            temperature=temperature,
            weighting=weighting,
            features=Cells(per_image, tuple(leave_out)),
            prefix=prefix,
        )
        self.leave_out = tuple(leave_out)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        for name, cells in (('bank', bank), ('queries', query)):
            if not len(cells.label):
                raise ValueError(
                    f'k-NN of patches needs cells with a class and the {name} have none: '
                    f'all are {IGNORE}, to be ignored, or of leave_out={self.leave_out}; '
                    'leave out fewer classes, draw more cells (per_image) or give more '
                    'images'
                )
        return super().compute(bank, query)


def fixed_crops(
    batch: EvaluationBatch, specs: Sequence[ViewSpec]
) -> tuple[list[Tensor], list[Tensor]]:
    """Cut crops that are the same at every evaluation, in their own colours.

    Args:
        batch: The batch of N images. The index of a sample alone decides its crops.
        specs: One per crop. Only size, scale and ratio are used.

    Returns:
        Crops (N, 3, S, S), and boxes (N, 4) on the CPU: top, left, height, width, pixels.
    """
    height, width = batch.inputs.shape[2:]
    rows = batch.inputs.transpose(1, 2).contiguous()  # (N, H, 3, W), for `cut`
    boxes = draw_all_boxes(fixed_seeds(batch.index), specs, height, width)
    no_flip = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    # Autocast would round the crops' matrix products to bfloat16.
    with torch.autocast(rows.device.type, enabled=False):
        crops = [
            cut(rows, box.to(rows.device), no_flip, spec.size)
            for box, spec in zip(boxes, specs, strict=True)
        ]
    return crops, boxes


@dataclass(frozen=True)
class CropPair:
    """Source of features (N, 2, D): of a global and a local crop of every image.

    The sample's index alone decides the crops. They are not flipped and keep their
    colours.

    Args:
        global_scale: Range of the global crop's share of the image's area, in (0, 1]. The
            crop is resized to the image's height.
        local_scale: Range of the local crop's share of the image's area, in (0, 1].
        local_size: Side of the local crop after resizing, pixels. None takes half the
            image's height.
    """

    global_scale: tuple[float, float]
    local_scale: tuple[float, float]
    local_size: int | None

    def __call__(self, batch: EvaluationBatch) -> Features:
        height = batch.inputs.shape[2]
        specs = [
            ViewSpec(role='global', size=height, scale=self.global_scale, flip=0),
            ViewSpec(
                role='local',
                size=self.local_size or height // 2,
                scale=self.local_scale,
                flip=0,
            ),
        ]
        x = [pooled(batch.encode(crop), -1) for crop in fixed_crops(batch, specs)[0]]
        return batch.features(torch.stack(x, dim=1))


@METRICS.register_module()
class RetrievalMetric(FeatureMetric):
    """How often a local crop finds the global crop of its own image, per cent.

    Each local crop ranks the global crops of all N queries by the cosine of the
    backbone's pooled features. `retrieval/top1` and `retrieval/top5` count how often its
    own image is first, or among the first five. Chance is 100 / N for top1. The metric
    needs neither labels nor a bank.

    Args:
        global_scale: Range of the global crop's share of the image's area, in (0, 1].
            Default: (0.4, 1.0).
        local_scale: Range of the local crop's share of the image's area, in (0, 1].
            Default: (0.05, 0.4).
        local_size: Side of the local crop after resizing, pixels. Default: None, which
            takes half the image's height.
        prefix: Prefix of the scalars' names. Default: 'retrieval'.
    """

    needs_bank = False
    needs_labels = False

    def __init__(
        self,
        *,
        global_scale: Sequence[float] = (0.4, 1.0),
        local_scale: Sequence[float] = (0.05, 0.4),
        local_size: int | None = None,
        prefix: str = 'retrieval',
    ) -> None:
        low, high = global_scale
        low_local, high_local = local_scale
        source = CropPair((low, high), (low_local, high_local), local_size)
        super().__init__(features=source, prefix=prefix)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        rank, world_size = get_dist_info()
        x_global, x_local = F.normalize(query.feature, dim=2).unbind(1)  # (N, D)
        n = len(x_global)
        found = torch.zeros(2, device=x_global.device)
        for rows in torch.arange(n)[rank::world_size].split(max(1, 2**26 // n)):
            cosine = x_local[rows] @ x_global.T  # (rows, N)
            own = cosine.gather(1, rows.to(cosine.device)[:, None])
            place = (cosine > own).sum(dim=1)  # rank of the own image, from 0
            # Ties count as misses, so that a collapsed network scores 0.
            place += (cosine == own).sum(dim=1) - 1
            found += torch.stack([(place < k).sum() for k in (1, 5)])
        all_reduce(found)
        return {
            f'top{k}': 100 * number / n
            for k, number in zip((1, 5), found.tolist(), strict=True)
        }


def of_maps(batch: EvaluationBatch) -> Features:
    """Return whole maps (N, D, h, w), with masks (N, H, W) as labels."""
    return Features(last_map(batch), masks_of(batch), batch.index)


def overlap(confusion: Float[Tensor, 'C C']) -> dict[str, float]:
    """Return `miou` over the classes that occur, and `pixel_accuracy`, per cent."""
    hit = confusion.diagonal()
    union = confusion.sum(dim=0) + confusion.sum(dim=1) - hit
    there = confusion.sum(dim=1) > 0
    return dict(
        miou=100 * (hit[there] / union[there]).mean().item(),
        pixel_accuracy=100 * (hit.sum() / confusion.sum()).item(),
    )


@METRICS.register_module()
class SegmentationMetric(FeatureMetric):
    """A linear segmentation probe on a few hundred images: `segmentation/miou`.

    The probe is a softmax classifier of cells. A cell has the class of most of its
    pixels. The probe is fitted to the bank with the unweighted cross entropy, once per
    learning rate. Every fifth image is held out, and the learning rate with the best mean
    intersection over union on those images is chosen. With it the probe is fitted again,
    to the whole bank.

    Scores of the queries' cells are enlarged bilinearly to the masks and compared pixel
    by pixel. `miou` is the mean intersection over union of the classes that the queries
    have. `pixel_accuracy` is the share of correct pixels. Both are per cent. `floor_miou`
    and `floor_pixel_accuracy` are the scores of predicting the bank's commonest class
    everywhere. A probe that is no better has learned nothing. Pixels of class 255 are
    ignored.

    Leopart (arXiv 2204.13101) probes COCO's things in the same way: the cross entropy is
    unweighted, and pixels outside things are neither trained on nor scored.

    Args:
        lrs: Learning rates to choose from, for batches of 256 cells. Default: (0.003,
            0.01, 0.03, 0.1).
        epochs: Number of passes over the bank. Default: 20.
        leave_out: Classes that are ignored, as 255 is. Use it for a background that
            covers nearly everything. Default: no class.
        prefix: Prefix of the scalars' names. Default: 'segmentation'.

    Raises:
        ValueError: If the bank has fewer than 5 images, or if the fitted images, the held
            out images or the queries have no pixel of a class that is used.
    """

    needs_labels = False

    def __init__(
        self,
        *,
        lrs: Sequence[float] = (0.003, 0.01, 0.03, 0.1),
        epochs: int = 20,
        leave_out: Sequence[int] = (),
        prefix: str = 'segmentation',
    ) -> None:
        super().__init__(features=of_maps, prefix=prefix)
        self.lrs, self.epochs, self.leave_out = tuple(lrs), epochs, tuple(leave_out)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        if len(bank.feature) < 5:
            raise ValueError(
                f'a segmentation probe holds out every fifth image of the bank and got '
                f'{len(bank.feature)}; give 5 or more'
            )
        masks, query_masks = (
            x.label.masked_fill(
                torch.isin(x.label, torch.tensor(self.leave_out, device=x.label.device)),
                IGNORE,
            )
            for x in (bank, query)
        )
        channels = bank.feature.transpose(0, 1).flatten(1)  # (D, N h w)
        mean = channels.mean(dim=1).view(1, -1, 1, 1)
        std = channels.std(dim=1).clamp(min=1e-6).view(1, -1, 1, 1)
        maps, query_maps = (bank.feature - mean) / std, (query.feature - mean) / std
        cells = maps.flatten(2).transpose(1, 2)  # (N, hw, D)
        label = of_cells(masks, *maps.shape[2:]).flatten(1)  # (N, hw)
        valid = label != IGNORE
        held = torch.arange(len(maps), device=maps.device) % 5 == 4
        for name, there in (
            ("bank's images that are fitted", valid[~held]),
            ("bank's every fifth image, held out,", valid[held]),
            ('queries', query_masks != IGNORE),
        ):
            if not there.any():
                raise ValueError(
                    f'a segmentation probe needs pixels with a class and the {name} have '
                    f'none: their masks are all {IGNORE}, to be ignored, or of '
                    f'leave_out={self.leave_out}; give more images, or leave out fewer '
                    'classes'
                )
        both = torch.cat((masks.flatten(), query_masks.flatten()))
        how: dict = dict(
            num_classes=int(both[both != IGNORE].max()) + 1, epochs=self.epochs
        )
        rest = valid & ~held[:, None]
        fitted = fit_linear(cells[rest], label[rest], lrs=self.lrs, **how)
        # Not by accuracy: a background that covers nearly everything would decide it.
        found = [
            overlap(self.confusion(maps[held], masks[held], *one))['miou']
            for one in zip(*fitted, strict=True)
        ]
        lr = self.lrs[found.index(max(found))]
        weight, bias = fit_linear(cells[valid], label[valid], lrs=[lr], **how)
        confusion = self.confusion(query_maps, query_masks, weight[0], bias[0])
        floor = torch.zeros_like(confusion)
        floor[:, label[valid].mode().values] = confusion.sum(dim=1)
        at_floor = {f'floor_{name}': value for name, value in overlap(floor).items()}
        return overlap(confusion) | at_floor | dict(lr=lr)

    @staticmethod
    def confusion(
        maps: Float[Tensor, 'N D h w'],
        masks: Int64[Tensor, 'N H W'],
        weight: Float[Tensor, 'D C'],
        bias: Float[Tensor, '1 C'],
    ) -> Float[Tensor, 'C C']:
        """Count pixels by true class (rows) and predicted class (columns)."""
        classes = weight.shape[1]
        total = torch.zeros(classes * classes, dtype=torch.float64, device=maps.device)
        for x, mask in zip(maps.split(8), masks.split(8), strict=True):
            scores = torch.einsum('ndhw,dc->nchw', x, weight) + bias.view(1, -1, 1, 1)
            scores = F.interpolate(scores, mask.shape[1:], mode='bilinear')
            guess, seen = scores.argmax(dim=1), mask != IGNORE
            pairs = mask[seen] * classes + guess[seen]
            total += pairs.bincount(minlength=classes * classes)
        return total.view(classes, classes)
