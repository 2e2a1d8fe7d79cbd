"""What local and global learning claims to improve: patches, crops, segments."""

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

IGNORE = 255  # of a mask: neither trained on nor scored


def fixed_seeds(index: Int64[Tensor, ' N']) -> Int64[Tensor, 'N 3']:
    """Keys of samples under seed 0 and epoch 0: the same draws at every evaluation."""
    index = index.cpu()
    return torch.stack((torch.zeros_like(index), torch.zeros_like(index), index), dim=1)


def last_map(batch: EvaluationBatch) -> Float[Tensor, 'N D h w']:
    """The backbone's last feature map, float32."""
    maps = batch.maps
    x = maps[-1] if isinstance(maps, (tuple, list)) else maps
    if x.ndim != 4:
        raise ValueError(
            f'a dense probe needs the feature map of a backbone and got {x.ndim} '
            'dimensions; take its pooling out, or leave the dense metrics out'
        )
    return x.float()


def masks_of(batch: EvaluationBatch) -> Int64[Tensor, 'N H W']:
    """The classes of all pixels.

    Raises:
        ValueError: If the data set has none.
    """
    if 'gt_sem_seg' not in batch.data:
        raise ValueError(
            'a segmentation probe needs masks; give the bank and the queries a data set '
            'that has them, such as CocoMasks'
        )
    return batch.data['gt_sem_seg'].to(batch.inputs.device)


def of_cells(masks: Int64[Tensor, 'N H W'], h: int, w: int) -> Int64[Tensor, 'N h w']:
    """The commonest class of the pixels of every cell.

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
    """Single cells of the last map, labelled by the mask or else by the image.

    Args:
        per_image: How many, drawn by the sample's index; None takes all.
        leave_out: Classes whose cells are left out.
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

    A cell's class is that of most of its pixels where the data set has masks, and
    its image's otherwise. Cells of both bank and queries.

    Args:
        per_image: Cells drawn of every image, the same at every evaluation; None
            takes all.
        leave_out: Classes left out, such as a background that is nearly everything.
        k, temperature, weighting: As of `KNNMetric`.
        prefix: Of the names.

    Raises:
        ValueError: If an image has neither a mask nor a label, or if no cell is left
            of the bank or of the queries.
    """

    needs_labels = False  # masks will do

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


@dataclass(frozen=True)
class CropPair:
    """Features (N, 2, D) of a global and of a local crop of every image.

    Drawn by the sample's index alone, without flips or colours.

    Args:
        global_scale, local_scale: Ranges of the crops' share of the image's area.
        local_size: Side of the local crop, pixels; None takes half the image's. The
            global one has the image's.
    """

    global_scale: tuple[float, float]
    local_scale: tuple[float, float]
    local_size: int | None

    def __call__(self, batch: EvaluationBatch) -> Features:
        height, width = batch.inputs.shape[2:]
        specs = [
            ViewSpec(role='global', size=height, scale=self.global_scale, flip=0),
            ViewSpec(
                role='local',
                size=self.local_size or height // 2,
                scale=self.local_scale,
                flip=0,
            ),
        ]
        rows = batch.inputs.transpose(1, 2).contiguous()  # (N, H, 3, W), as `cut` has it
        boxes = draw_all_boxes(fixed_seeds(batch.index), specs, height, width)
        no_flip = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        # Autocast would round the crops' matrix products to bfloat16.
        with torch.autocast(rows.device.type, enabled=False):
            crops = [
                cut(rows, box.to(rows.device), no_flip, spec.size)
                for box, spec in zip(boxes, specs, strict=True)
            ]
        x = [pooled(batch.encode(crop), -1) for crop in crops]
        return batch.features(torch.stack(x, dim=1))


@METRICS.register_module()
class RetrievalMetric(FeatureMetric):
    """Does a local crop find its own image's global crop among those of all queries?

    `retrieval/top1` and `retrieval/top5`, per cent, by the cosine of the backbone's
    pooled features; chance is 100 / N. Needs neither labels nor a bank.

    Args:
        global_scale: Range of the global crop's share of the image.
        local_scale: Likewise of the local crop.
        local_size: Its side, pixels; None takes half the image's.
        prefix: Of the names.
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
            place = (cosine > own).sum(dim=1)  # of its own image, from 0
            # a tie with others is no find: one vector for all must score nothing
            place += (cosine == own).sum(dim=1) - 1
            found += torch.stack([(place < k).sum() for k in (1, 5)])
        all_reduce(found)
        return {
            f'top{k}': 100 * number / n
            for k, number in zip((1, 5), found.tolist(), strict=True)
        }


def of_maps(batch: EvaluationBatch) -> Features:
    """Whole maps (N, D, h, w) and masks (N, H, W)."""
    return Features(last_map(batch), masks_of(batch), batch.index)


def overlap(confusion: Float[Tensor, 'C C']) -> dict[str, float]:
    """`miou` of the classes that are there, and `pixel_accuracy`, per cent."""
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

    A softmax classifier of the bank's cells (the class of most pixels) is fitted at
    several learning rates, by the plain cross entropy; that of the best mean
    intersection over union on every fifth image, held out, is fitted to all of them.
    Its scores of the queries' cells, enlarged bilinearly to the mask, are scored
    pixel by pixel: mean intersection over union of the classes the queries have, and
    pixel accuracy, per cent. `floor_miou` and `floor_pixel_accuracy` are what the
    bank's commonest class everywhere gives: a probe that is no better knows nothing.
    Pixels of 255 are left out.

    Leopart (arXiv 2204.13101) probes COCO's things likewise: cross entropy without
    weights, and what is no thing is neither trained on nor scored.

    Args:
        lrs: Learning rates to choose from, for batches of 256 cells.
        epochs: Passes.
        leave_out: Classes left out as 255 is, such as a background that is nearly
            everything.
        prefix: Of the names.

    Raises:
        ValueError: If the bank has fewer than 5 images, or if nothing but what is left
            out is on the images that are fitted, held out or scored.
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
        # by accuracy a background that is nearly everything would choose
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
        """Pixels by true class (rows) and by predicted class."""
        classes = weight.shape[1]
        total = torch.zeros(classes * classes, dtype=torch.float64, device=maps.device)
        for x, mask in zip(maps.split(8), masks.split(8), strict=True):
            scores = torch.einsum('ndhw,dc->nchw', x, weight) + bias.view(1, -1, 1, 1)
            scores = F.interpolate(scores, mask.shape[1:], mode='bilinear')
            guess, seen = scores.argmax(dim=1), mask != IGNORE
            pairs = mask[seen] * classes + guess[seen]
            total += pairs.bincount(minlength=classes * classes)
        return total.view(classes, classes)
