"""Reads a trained network, and the images that it is shown."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.evaluation import extract
from mmlogo.launch import check_fits
from mmlogo.registry import DATASETS, MODELS
from mmlogo.report import trust as trusted

GRID = 14  # the picture of a map has at least so many cells on a side
_BATCH = 128


class Samples(NamedTuple):
    """Images of a labelled data set, as evaluation reads them."""

    images: Tensor  # (N, 3, H, W) uint8 RGB
    labels: Tensor  # (N,) int64
    places: list[int]  # of the images in the data set
    classes: tuple[str, ...]
    total: int  # the length of the data set

    def name(self, position: int) -> str:
        """Return the name of a sample's class."""
        return self.classes[int(self.labels[position])]


def read_samples(cfg: Config, loader: str, most: int, trust: bool = False) -> Samples:
    """Read images of the data set of a dataloader, spread evenly over the data set.

    Nothing is downloaded.

    Args:
        cfg: The config.
        loader: The name of a dataloader of evaluation in it, such as 'val_dataloader'.
        most: The largest number of images to read.
        trust: Whether to build a data set of any class; default: False.

    Raises:
        UntrustedError: If the data set is of a class that a page does not build.
        ValueError: If the config has no such dataloader. If the data set does not give
            uint8 images of one size with labels, or does not name its classes.
        OSError: If the data are missing.
    """
    loader_cfg = cfg.get(loader)
    if not loader_cfg:
        raise ValueError(f'the config has no {loader}, so there are no labelled images')
    dataset_cfg = dict(loader_cfg['dataset'])
    trusted.enter(cfg, dataset_cfg, trust)
    kind = DATASETS.get(dataset_cfg['type'])
    if 'download' in inspect.signature(kind.__init__).parameters:
        dataset_cfg['download'] = False
    dataset = DATASETS.build(dataset_cfg)
    classes = tuple((getattr(dataset, 'metainfo', None) or {}).get('classes') or ())
    places = evenly(len(dataset), most)
    images, labels = [], []
    for place in places:
        item = dataset[place]
        views = item['inputs']
        images.append(views[0] if isinstance(views, (list, tuple)) else views)
        packed = 'gt_label' not in item
        labels.append(int(item['data_samples'].gt_label if packed else item['gt_label']))
    if (
        not classes
        or any(image.dtype != torch.uint8 for image in images)
        or len({image.shape for image in images}) != 1
    ):
        raise ValueError(
            f'{dataset_cfg["type"]} of {loader} gives no labelled uint8 images of one '
            "size; end its pipeline with dict(type='PackImage') after a crop"
        )
    return Samples(torch.stack(images), torch.tensor(labels), places, classes, len(dataset))


def evenly(total: int, most: int) -> list[int]:
    """Return at most `most` of `total` positions, at equal distances."""
    count = min(total, most)
    return [place * total // count for place in range(count)]


def one_of_each(samples: Samples, count: int) -> list[int]:
    """Choose the positions of `count` samples of different classes.

    If there are more classes than `count`, they are spread evenly over all classes. If
    there are fewer, a second sample of each follows, and so on.
    """
    present = samples.labels.unique().tolist()
    of_class = {c: (samples.labels == c).nonzero().squeeze(1).tolist() for c in present}
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(count, len(samples.labels)):
        left = [c for c in present if turn < len(of_class[c])]
        wanted = evenly(len(left), count - len(chosen))
        chosen += [of_class[left[place]][turn] for place in wanted]
        turn += 1
    return chosen


class OtherKindError(ValueError):
    """The model of a run is not a self-supervised one, so it cannot be looked at."""


class Encoder:
    """The backbone and the neck of a run, with the weights of a checkpoint.

    The parts that only training needs, such as head, teacher and queue, are not built. So
    an older run, whose algorithm took other arguments, can be looked at, too.

    Args:
        cfg: The config of the run. Its model is a self-supervised one.
        checkpoint: The file.
        trust: Whether to build classes that are not of mmlogo or mmpretrain; default:
            False.

    Raises:
        UntrustedError: If the model has a class that a page does not build.
        OtherKindError: If the model is not a self-supervised one.
        ValueError: If the checkpoint is of another network.
    """

    def __init__(
        self, cfg: Config, checkpoint: str | os.PathLike, trust: bool = False
    ) -> None:
        names = ('type', 'backbone', 'neck', 'data_preprocessor')
        parts = {name: cfg.model[name] for name in names if cfg.model.get(name)}
        trusted.enter(cfg, parts, trust)
        kind = MODELS.get(cfg.model.type)
        if not (isinstance(kind, type) and issubclass(kind, BaseSelfSupervisor)):
            raise OtherKindError(
                f'{cfg.model.type} is no self-supervised model; pictures of features are '
                'of models that derive from BaseSelfSupervisor'
            )
        # A class of its own kind takes features as the algorithm does. It is built as the
        # base of all algorithms is, so it needs no argument of this one.
        looked_at = type(kind.__name__, (kind,), {'__init__': BaseSelfSupervisor.__init__})
        self.model: Any = looked_at(
            backbone=cfg.model.backbone,
            neck=cfg.model.get('neck'),
            data_preprocessor=cfg.model.get('data_preprocessor'),
        )
        fit = ('backbone', 'neck') if self.has_maps else ('backbone',)
        check_fits(self.model, str(checkpoint), fit)
        loaded = read_checkpoint(str(checkpoint))
        weights = loaded.get('state_dict', loaded)
        wanted: set[str] = set(self.model.state_dict())
        known = {name: value for name, value in weights.items() if name in wanted}
        self.model.load_state_dict(known, strict=False)
        self.model.to(get_device()).eval()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return pooled features (N, D) float32, on the CPU, of (N, 3, H, W) uint8."""
        parts = []
        for batch in images.split(_BATCH):
            data = dict(inputs=batch, sample_idx=torch.arange(len(batch)))
            found = extract(self.model, data, ('backbone',), labelled=False)
            parts.append(found['backbone'].feature.cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def dense(self, images: Tensor) -> tuple[Tensor, int]:
        """Return the last map of the backbone.

        Small images are enlarged until the map has at least `GRID` cells on a side.

        Args:
            images: (N, 3, H, W) uint8.

        Returns:
            The maps (N, C, h, w) float32 on the model's device, and the factor by which
            the images were enlarged, which is 1 if the map is large enough.

        Raises:
            ValueError: If the backbone does not return maps.
        """
        small = self._maps(images[:1], 1)
        if small.ndim != 4:
            raise ValueError(
                f'the backbone gives {tuple(small.shape[1:])} values for an image, '
                'and no map'
            )
        factor = max(1, math.ceil(GRID / min(small.shape[2:])))
        maps = [self._maps(batch, factor) for batch in images.split(16)]
        return torch.cat(maps), factor

    def _maps(self, images: Tensor, factor: int) -> Tensor:
        x = self.model.data_preprocessor(dict(inputs=images), False)['inputs']
        if factor > 1:
            x = F.interpolate(x, scale_factor=factor, mode='bilinear', antialias=False)
        out = self.model(x, mode='tensor')
        return (out[-1] if isinstance(out, (list, tuple)) else out).float()

    @property
    def has_maps(self) -> bool:
        """Whether the neck has alignment maps."""
        return hasattr(getattr(self.model, 'neck', None), 'maps')

    @torch.no_grad()
    def alignment(self, images: Tensor) -> tuple[Tensor, int]:
        """Return the alignment maps of a neck, for a model that `has_maps`.

        Args:
            images: (N, 3, H, W) uint8. Small images are enlarged as in `dense`.

        Returns:
            The maps (N, G, K, h, w), each of which sums to 1, and the factor of `dense`.
        """
        maps, factor = self.dense(images)
        neck = self.model.neck
        return neck.maps((maps,)).unflatten(1, (neck.num_groups, -1)).cpu(), factor


def find_checkpoint(work_dir: Path, name: str | None = None) -> Path | None:
    """Return the checkpoint `name` of a work dir, or its newest, None if it has none.

    Raises:
        FileNotFoundError: If the folder has no checkpoint of this name.
    """
    found = sorted(work_dir.glob('*.pth'), key=lambda path: path.stat().st_mtime_ns)
    if name is not None:
        if not (work_dir / name).is_file():
            near = sorted(path.name for path in found)
            raise FileNotFoundError(
                f'there is no checkpoint {name} in {work_dir}; '
                + (f'that folder has {near}' if near else 'that folder has none')
            )
        return work_dir / name
    note = work_dir / 'last_checkpoint'
    if note.is_file():  # its folder may have been moved since
        newest = work_dir / Path(note.read_text().strip()).name
        if newest.is_file():
            return newest
    return found[-1] if found else None


def choose_checkpoints(
    work_dirs: Sequence[Path], given: Sequence[str]
) -> list[Path | None]:
    """Return a checkpoint for each work dir, None if it has none.

    Args:
        work_dirs: The work dirs of the runs.
        given: The checkpoints that the command line names. An empty list stands for the
            newest of each work dir. One name stands for the file of this name in every
            work dir. Otherwise there is a path or a name for each work dir, in their order.

    Raises:
        ValueError: If the number of checkpoints is another.
        FileNotFoundError: If a checkpoint does not exist.
    """
    if not given:
        return [find_checkpoint(folder) for folder in work_dirs]
    if len(given) not in (1, len(work_dirs)):
        raise ValueError(
            f'{len(given)} checkpoints for {len(work_dirs)} runs; give one for each, or '
            'one name that all work dirs have'
        )
    names = [*given] * (len(work_dirs) // len(given))
    return [
        Path(name) if Path(name).is_file() else find_checkpoint(folder, name)
        for name, folder in zip(names, work_dirs, strict=True)
    ]
