"""The pictures of a page: each a file, and the same bytes inside the page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from mmlogo.report.theme import DARK, LIGHT, Theme


class Picture(NamedTuple):
    """Of a page: data URIs, of which `dark` may be empty, and what it shows."""

    light: str
    dark: str
    width: int
    height: int
    alt: str
    pixelated: bool  # small: its pixels stay visible when it is enlarged


class Album:
    """Pictures in a folder, from which an earlier album's are removed.

    Args:
        folder: Made where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob('*.png'):
            old.unlink()
        self.folder = folder

    def drawn(self, name: str, alt: str, draw: Callable[[Path, Theme], object]) -> Picture:
        """What `draw` writes to a path, in light colours and in dark ones."""
        files = self._path(name), self._path(f'{name}_dark')
        for file, theme in zip(files, (LIGHT, DARK), strict=True):
            draw(file, theme)
        return self._picture(alt, *files)

    def plain(self, name: str, alt: str, draw: Callable[[Path], object]) -> Picture:
        """What `draw` writes to a path, the same on white and on black."""
        file = self._path(name)
        draw(file)
        return self._picture(alt, file)

    def pixels(self, name: str, alt: str, pixels: np.ndarray | Tensor) -> Picture:
        """An image: (H, W, 3) uint8, or a tensor (3, H, W) uint8, or float in [0, 1]."""
        if isinstance(pixels, Tensor):
            if pixels.is_floating_point():
                pixels = pixels.mul(255).round().byte()
            pixels = pixels.permute(1, 2, 0).cpu().numpy()
        file = self._path(name)
        Image.fromarray(np.ascontiguousarray(pixels)).save(file)
        return self._picture(alt, file)

    def _path(self, name: str) -> Path:
        safe = ''.join(c if c.isalnum() or c in '-_.' else '_' for c in name)
        return self.folder / f'{safe}.png'

    @staticmethod
    def _picture(alt: str, light: Path, dark: Path | None = None) -> Picture:
        with Image.open(light) as image:
            width, height = image.size
        uris = [
            'data:image/png;base64,' + b64encode(file.read_bytes()).decode() if file else ''
            for file in (light, dark)
        ]
        return Picture(uris[0], uris[1], width, height, alt, max(width, height) <= 96)
