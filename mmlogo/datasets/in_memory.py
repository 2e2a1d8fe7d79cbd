"""Data sets of images of one size, held in memory as uint8 and read batch by batch."""

from __future__ import annotations

import functools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torchvision
from mmengine.dist import barrier, is_main_process
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from mmlogo.registry import DATASETS, FUNCTIONS
from mmlogo.views.header import check_header
from mmlogo.views.seeds import SeededIndex, pack_seeds

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.tif', '.tiff', '.webp')


@FUNCTIONS.register_module()
def collate_batch(batch: dict | Sequence[dict]) -> dict:
    """Return a whole batch as it is. Collate single samples as torch does."""
    return batch if isinstance(batch, dict) else default_collate(list(batch))


class _Batch(dict):
    """A batch that was read as a whole, from `__getitems__`."""

    def __missing__(self, name: object) -> object:
        # A collate function for single samples asks for items by position.
        raise ValueError(
            f'a batch of in-memory images has no {name!r}: it is read as a whole; give the '
            "dataloader collate_fn=dict(type='collate_batch')"
        )


class InMemoryImages(Dataset):
    """N images in one uint8 tensor.

    `__getitems__` reads a whole batch with one indexing operation, and the model's device
    cuts the crops. So the loader has almost nothing to do. Use it with
    `collate_fn=dict(type='collate_batch')`.

    Args:
        images: Images (N, 3, H, W), uint8 RGB.
        labels: Labels (N,), int64. -1 is an image without a label.
        classes: Names of the classes.
        names: N paths relative to the folder of classes. Default: None, for images that
            come from an archive and have no paths.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        names: Sequence[str] | None = None,
    ) -> None:
        assert images.dtype == torch.uint8
        assert images.shape[1:2] == (3,)
        assert len(images) == len(labels)
        self.images, self.labels, self.names = images, labels, names
        self.metainfo = dict(classes=tuple(classes))

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: Sequence[int]) -> dict:
        """Return inputs (B, 3, H, W), sample_idx (B,), gt_label (B,), seeds (B, 3).

        The batch has `seeds` only if the indices are `SeededIndex`s.
        """
        index = torch.tensor([int(i) for i in indices])
        batch = _Batch(
            inputs=self.images[index], sample_idx=index, gt_label=self.labels[index]
        )
        if isinstance(indices[0], SeededIndex):
            batch['seeds'] = pack_seeds(cast(Sequence[SeededIndex], indices))
        return batch

    def get_subset_(self, indices: Sequence[int]) -> None:
        """Keep only these images, in this order. MMEngine's data sets name it so too."""
        index = torch.tensor(indices)
        self.images, self.labels = self.images[index], self.labels[index]
        if self.names is not None:
            self.names = [self.names[i] for i in indices]

    def __getitem__(self, index: int) -> dict:
        return {name: value[0] for name, value in self.__getitems__([index]).items()}


def _first_per_class(labels: Tensor, per_class: int | None) -> Tensor:
    """Return positions of the first `per_class` samples of every class, ascending."""
    if per_class is None:
        return torch.arange(len(labels))
    keep = [(labels == c).nonzero().squeeze(1)[:per_class] for c in labels.unique()]
    return torch.cat(keep).sort().values


def _rank_zero_first(load: Callable) -> Callable:
    """Decorate `load`: one process downloads and unpacks while the others wait."""

    @functools.wraps(load)
    def loaded(*args, **kwargs):
        result = load(*args, **kwargs) if is_main_process() else None
        barrier()
        return load(*args, **kwargs) if result is None else result

    return loaded


@functools.cache  # training and the k-NN bank read the same files
def read_tree(
    root: Path, size: int | None = None, per_class: int | None = None
) -> tuple[Tensor, Tensor, list[str], list[str]]:
    """Read the images of `root/<class>/*`. Classes and files are sorted by name.

    Args:
        root: Folder of class folders.
        size: Side of the images, pixels. An image of another size is an error. Default:
            None, which takes the size of the first image.
        per_class: Number of files that are read of every class, from the first. Default:
            None, which reads all.

    Returns:
        Images (N, 3, H, W) uint8 RGB, labels (N,) int64, class names, and the images' N
        names `class/file`.

    Raises:
        FileNotFoundError: If there is no image.
        OSError: If a file is no image, is too large to be decoded, or has another size. The
            message names the file and its index.
    """
    classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    # Names and no Paths, which are slow to make and to sort.
    files = [
        (f'{name}/{file}', label)
        for label, name in enumerate(classes)
        for file in sorted(
            file
            for file in os.listdir(root / name)
            if os.path.splitext(file)[1].lower() in EXTENSIONS
        )[:per_class]
    ]
    if not files:
        raise FileNotFoundError(
            f'no images in {root}: expected {root}/<class>/*{{{",".join(EXTENSIONS)}}}'
        )
    images: Tensor | None = None
    for index, (name, _) in enumerate(files):
        path = f'{root}/{name}'
        try:
            data = Path(path).read_bytes()
            check_header(data)
            image = torchvision.io.decode_image(
                torch.frombuffer(bytearray(data), dtype=torch.uint8),
                torchvision.io.ImageReadMode.RGB,
            )
        except (OSError, RuntimeError) as error:
            raise OSError(
                f'cannot read image {path} (sample {index}): {error}; '
                'replace or remove the file'
            ) from error
        if images is None:
            shape = image.shape if size is None else (3, size, size)
            images = torch.empty((len(files), *shape), dtype=torch.uint8)
        if image.shape != images.shape[1:]:
            raise OSError(
                f'{path} (sample {index}) is {tuple(image.shape[1:])} pixels and the '
                f'others are {tuple(images.shape[2:])}; images held in memory share '
                'one size: use ImageFolder with MultiCrop for a mixed folder'
            )
        images[index] = image
    assert images is not None
    names, labels = zip(*files, strict=True)
    return images, torch.tensor(labels), classes, [*names]


class _Torchvision(InMemoryImages, ABC):
    """A data set of torchvision, read from its archive or from a tree of image files."""

    NAME: str
    SIZE: int
    SPLITS: tuple[str, ...]

    def __init__(
        self,
        *,
        data_root: str,
        split: str,
        per_class: int | None = None,
        download: bool = True,
    ) -> None:
        if split not in self.SPLITS:
            raise ValueError(
                f'{type(self).__name__}: split={split!r}, but it must be one of '
                f'{self.SPLITS}'
            )
        if per_class is not None and per_class < 1:
            raise ValueError(f'per_class={per_class}, but it must be >= 1 or None')
        root = Path(data_root).expanduser()
        if (root / split).is_dir():
            super().__init__(*read_tree(root / split, self.SIZE, per_class))
        else:
            images, labels, classes = self._read_official(root, split, download)
            keep = _first_per_class(labels, per_class)
            super().__init__(images[keep], labels[keep], classes)

    @classmethod
    @abstractmethod
    def _official(
        cls, root: str, split: str, download: bool
    ) -> tuple[Tensor, Tensor, list[str]]:
        """Read images, labels and class names of a split with torchvision."""

    @classmethod
    @_rank_zero_first
    def _read_official(cls, root: Path, split: str, download: bool):
        try:
            return cls._official(str(root), split, download)
        except Exception as error:
            raise FileNotFoundError(
                f'{cls.NAME} was found neither as a tree '
                f'({root}/{split}/<class>/*.jpg) nor as the official archive in '
                f'{root}'
                + (', and downloading it failed' if download else '')
                + f' ({type(error).__name__}: {error}); pass --data-root DIR with '
                'either of them'
            ) from None


class _Cifar(_Torchvision):
    SIZE = 32
    SPLITS = ('train', 'test')

    @classmethod
    def _official(cls, root: str, split: str, download: bool):
        data = getattr(torchvision.datasets, cls.NAME)(
            root, train=split == 'train', download=download
        )
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(data.targets), list(data.classes)


@DATASETS.register_module()
class InMemoryCIFAR10(_Cifar):
    """CIFAR-10: 50,000 training and 10,000 test images of 32 x 32.

    Args:
        data_root: Folder with `train/<class>/*` and `test/<class>/*`, or with the official
            archive, whose MD5 sum is checked. The archive is downloaded to this folder.
        split: 'train' or 'test'.
        per_class: Number of images that are kept of every class: the first by name, or in
            the archive's order. Default: None, which keeps all.
        download: With True, the default, download the archive if there is no data.

    Raises:
        ValueError: If `split` or `per_class` is out of its range.
        FileNotFoundError: If there is no data. The message says what was looked for.
    """

    NAME = 'CIFAR10'


@DATASETS.register_module()
class InMemoryCIFAR100(_Cifar):
    """CIFAR-100. Its arguments are those of `InMemoryCIFAR10`."""

    NAME = 'CIFAR100'


@DATASETS.register_module()
class InMemorySTL10(_Torchvision):
    """STL-10: images of 96 x 96. Its arguments are those of `InMemoryCIFAR10`.

    `split` is 'train' (5,000 images), 'test' (8,000), 'unlabeled' (100,000) or
    'train+unlabeled'. Unlabelled images have label -1.
    """

    NAME = 'STL10'
    SIZE = 96
    SPLITS = ('train', 'test', 'unlabeled', 'train+unlabeled')

    @classmethod
    def _official(cls, root: str, split: str, download: bool):
        data = torchvision.datasets.STL10(root, split=split, download=download)
        return (
            torch.from_numpy(data.data),
            torch.from_numpy(np.asarray(data.labels)).long(),
            list(data.classes),
        )
