"""The default data set: tiles of photographs that scikit-image and scikit-learn contain."""

from __future__ import annotations

import io
from importlib.resources import files

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from mmlogo.datasets.in_memory import InMemoryImages
from mmlogo.registry import DATASETS

# name -> (package, file, licence). By scikit-image's own notes, the first twelve are in the
# public domain or CC0. Figures show only these. The rest is used as data.
PHOTOGRAPHS = {
    'astronaut': ('skimage', 'astronaut.png', 'public domain, NASA'),
    'brick': ('skimage', 'brick.png', 'CC0, CC0Textures'),
    'camera': ('skimage', 'camera.png', 'CC0, Lav Varshney'),
    'cat': ('skimage', 'chelsea.png', 'CC0, Stefan van der Walt'),
    'clock': ('skimage', 'clock_motion.png', 'public domain, Stefan van der Walt'),
    'coffee': ('skimage', 'coffee.png', 'CC0, Rachel Michetti'),
    'grass': ('skimage', 'grass.png', 'CC0, linolafett'),
    'gravel': ('skimage', 'gravel.png', 'CC0, CC0Textures'),
    'hubble': ('skimage', 'hubble_deep_field.jpg', 'public domain, NASA'),
    'retina': ('skimage', 'retina.jpg', 'CC0, Mikael Haggstrom'),
    'rocket': ('skimage', 'rocket.jpg', 'public domain, SpaceX'),
    'text': ('skimage', 'text.png', 'public domain'),
    'cell': ('skimage', 'cell.png', 'see scikit-image'),
    'coins': ('skimage', 'coins.png', 'no known restrictions, Brooklyn Museum'),
    'moon': ('skimage', 'moon.png', 'see scikit-image'),
    'motorcycle': ('skimage', 'motorcycle_left.png', 'Middlebury 2014'),
    'page': ('skimage', 'page.png', 'see scikit-image'),
    'china': ('sklearn', 'china.jpg', 'CC BY 2.0, danielbuechele'),
    'flower': ('sklearn', 'flower.jpg', 'CC BY 2.0, vultilion'),
}
FREE = tuple(list(PHOTOGRAPHS)[:12])


def load_photograph(name: str) -> np.ndarray:
    """Return a photograph, (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: If the package that contains it is not installed.
    """
    package, file, _ = PHOTOGRAPHS[name]
    folder = {'skimage': 'data', 'sklearn': 'datasets/images'}[package]
    try:
        path = files(package) / folder / file
        data = path.read_bytes()
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise FileNotFoundError(
            f'photograph {name!r} comes with {package} and cannot be read ({error}); '
            'pip install scikit-image scikit-learn'
        ) from error
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert('RGB'))


@DATASETS.register_module()
class PhotoTiles(InMemoryImages):
    """Square tiles of photographs. The label of a tile is its photograph.

    Each photograph is divided into square cells. One cell in four belongs to the test set,
    the others to the training set. Tiles overlap only inside their own cell, so no pixel
    is in both sets.

    Args:
        split: 'train' or 'test'.
        tile: Side of a tile in the photograph, pixels. Default: 64.
        size: Side that tiles are reduced to by area averaging, pixels. It must divide
            `tile`. Default: 32.
        step: Distance from one tile to the next, pixels. Default: 20.
        cell: Side of a cell, pixels. Default: 128.
        limit: Largest number of tiles per photograph and split. They are spread evenly.
            The limit keeps large photographs from outweighing the others. Default: 300.
        names: Photographs to use. Default: all 19.

    Raises:
        ValueError: If `split` or a name is unknown, if `size` does not divide `tile`, or
            if a photograph is too small for a tile.
    """

    def __init__(
        self,
        *,
        split: str,
        tile: int = 64,
        size: int = 32,
        step: int = 20,
        cell: int = 128,
        limit: int = 300,
        names: tuple[str, ...] = tuple(PHOTOGRAPHS),
    ) -> None:
        if split not in ('train', 'test'):
            raise ValueError(f"split={split!r}, but it must be 'train' or 'test'")
        if tile % size:
            raise ValueError(f'size={size} must divide tile={tile}')
        unknown = set(names) - set(PHOTOGRAPHS)
        if unknown:
            raise ValueError(
                f'unknown photographs {sorted(unknown)}; there are {sorted(PHOTOGRAPHS)}'
            )
        images, labels, self.corners = [], [], []
        for label, name in enumerate(names):
            photo = torch.from_numpy(load_photograph(name)).permute(2, 0, 1)
            corners = _corners(photo.shape[1], photo.shape[2], tile, step, cell, split)
            if not corners:
                raise ValueError(
                    f'photograph {name!r}, {photo.shape[1]} x {photo.shape[2]} pixels, has '
                    f'no {split} tile with tile={tile} and cell={cell}; lower them or '
                    'leave it out of `names`'
                )
            corners = corners[:: -(-len(corners) // limit)]
            images += [photo[:, t : t + tile, x : x + tile] for t, x in corners]
            labels += [label] * len(corners)
            self.corners += corners  # (top, left) of each tile in its photograph
        stacked = _reduce(torch.stack(images), tile // size)
        super().__init__(stacked, torch.tensor(labels), names)


def _corners(
    height: int, width: int, tile: int, step: int, cell: int, split: str
) -> list[tuple[int, int]]:
    """Return top left corners (top, left) of one photograph's tiles in `split`."""
    offsets = range(0, cell - tile + 1, step)
    return [
        (row * cell + down, column * cell + right)
        for row in range(height // cell)
        for column in range(width // cell)
        # Test cells lie on diagonals, so that they spread over the photograph.
        if ((column + 2 * row) % 4 == 1) == (split == 'test')
        for down in offsets
        for right in offsets
    ]


def _reduce(images: Tensor, factor: int) -> Tensor:
    if factor == 1:
        return images
    return F.avg_pool2d(images.float(), factor).round().to(torch.uint8)
