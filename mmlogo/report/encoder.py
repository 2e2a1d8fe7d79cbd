"""A trained model and the images it is looked at with."""

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
from mmengine.registry import init_default_scope
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.evaluation import extract
from mmlogo.launch import check_fits
from mmlogo.registry import DATASETS, MODELS

GRID = 14  # cells a side that a picture of a map needs at least
_BATCH = 128


class Samples(NamedTuple):
    """Images of a labelled set, as evaluation reads them."""

    images: Tensor  # (N, 3, H, W) uint8 RGB
    labels: Tensor  # (N,) int64
    places: list[int]  # in the set
    classes: tuple[str, ...]
    total: int  # of the set

    def name(self, position: int) -> str:
        """The class of a sample."""
        return self.classes[int(self.labels[position])]


def read_samples(cfg: Config, loader: str, most: int) -> Samples:
    """Images of the data set of a config's `loader`, spread evenly over it.

    Nothing is downloaded.

    Args:
        cfg: The config, with `loader`.
        loader: Name of a dataloader of evaluation, such as 'val_dataloader'.
        most: No more than so many images.

    Raises:
        ValueError: If the config has no such loader, or its set no uint8 images of
            one size with labels and names of classes.
        OSError: If the data are missing.
    """
    loader_cfg = cfg.get(loader)
    if not loader_cfg:
        raise ValueError(f'the config has no {loader}, so there are no labelled images')
    init_default_scope(cfg.get('default_scope', 'mmlogo'))
    dataset_cfg = dict(loader_cfg['dataset'])
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
    """At most `most` of `total` positions, the same distance apart."""
    count = min(total, most)
    return [place * total // count for place in range(count)]


def one_of_each(samples: Samples, count: int) -> list[int]:
    """Positions of `count` samples: the first of classes spread evenly over all.

    Where there are more samples than classes, then the second of each, and so on.
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
    """The model of a run is not one that pictures are made of."""


class Encoder:
    """The backbone and the neck of a run with a checkpoint's weights, to look at.

    What only training needs, the head, the teacher and queues, is not built: an older
    run, whose algorithm took other arguments, can be looked at too.

    Args:
        cfg: The run's config, of a self-supervised model.
        checkpoint: A file.

    Raises:
        OtherKindError: If the model is no self-supervised one.
        ValueError: If the checkpoint is of another network.
    """

    def __init__(self, cfg: Config, checkpoint: str | os.PathLike) -> None:
        init_default_scope(cfg.get('default_scope', 'mmlogo'))
        kind = MODELS.get(cfg.model.type)
        if not (isinstance(kind, type) and issubclass(kind, BaseSelfSupervisor)):
            raise OtherKindError(
                f'{cfg.model.type} is no self-supervised model; pictures of features are '
                'of models that derive from BaseSelfSupervisor'
            )
        # of its class, so that features are taken as the algorithm takes them, and made as
        # its base is
        looked_at = type(kind.__name__, (kind,), {'__init__': BaseSelfSupervisor.__init__})
        self.model: Any = looked_at(
            backbone=cfg.model.backbone,
            neck=cfg.model.get('neck'),
            data_preprocessor=cfg.model.get('data_preprocessor'),
        )
        parts = ('backbone', 'neck') if self.has_maps else ('backbone',)
        check_fits(self.model, str(checkpoint), parts)
        loaded = read_checkpoint(str(checkpoint))
        weights = loaded.get('state_dict', loaded)
        wanted: set[str] = set(self.model.state_dict())
        known = {name: value for name, value in weights.items() if name in wanted}
        self.model.load_state_dict(known, strict=False)
        self.model.to(get_device()).eval()

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) uint8 to pooled backbone features (N, D) float32, on the CPU."""
        parts = []
        for batch in images.split(_BATCH):
            data = dict(inputs=batch, sample_idx=torch.arange(len(batch)))
            found = extract(self.model, data, ('backbone',), labelled=False)
            parts.append(found['backbone'].feature.cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def dense(self, images: Tensor) -> tuple[Tensor, int]:
        """The backbone's last map, of images enlarged until it has `GRID` cells a side.

        Args:
            images: (N, 3, H, W) uint8.

        Returns:
            (N, C, h, w) float32 on the model's device; by what the images' sides
            were multiplied, 1 for a map that is large enough.

        Raises:
            ValueError: If the backbone makes no map.
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
        """Whether the neck says where to look."""
        return hasattr(getattr(self.model, 'neck', None), 'maps')

    @torch.no_grad()
    def alignment(self, images: Tensor) -> tuple[Tensor, int]:
        """The neck's maps (N, G, K, h, w), each summing to 1, of enlarged images.

        For a model that `has_maps`; the other value as of `dense`.
        """
        maps, factor = self.dense(images)
        neck = self.model.neck
        return neck.maps((maps,)).unflatten(1, (neck.num_groups, -1)).cpu(), factor


def find_checkpoint(work_dir: Path, name: str | None = None) -> Path | None:
    """A work dir's checkpoint `name`, or its newest; None where it has none at all.

    Raises:
        FileNotFoundError: If `name` is not there.
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
    """A checkpoint for each work dir, from what the command line said.

    Args:
        work_dirs: Those of the runs.
        given: Nothing, for the newest of each; one name that every work dir has; or
            a path or a name for each, in their order.

    Raises:
        ValueError: If there is another number of them.
        FileNotFoundError: If one is not there.
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
