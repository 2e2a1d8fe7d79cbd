"""The pictures of a page. Each is a file, and the page holds the same bytes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from mmlogo.report.theme import DARK, LIGHT, Theme


class Picture(NamedTuple):
    """A picture of a page as data URIs, which are the file's bytes in text."""

    light: str
    dark: str  # empty if it is the same on white and on black
    width: int
    height: int
    pixelated: bool  # small: its pixels stay visible when it is enlarged


class Album:
    """A folder of pictures. Those that an earlier album left there are removed.

    Args:
        folder: The folder. It is made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob('*.png'):
            old.unlink()
        self.folder = folder

    def drawn(
        self,
        name: str,
        draw: Callable[..., object],
        themes: Sequence[Theme] = (LIGHT, DARK),
    ) -> Picture:
        """Let `draw` write a picture to its `path`, once in the colours of each `theme`."""
        files = [self._path(name), self._path(f'{name}_dark')][: len(themes)]
        for file, theme in zip(files, themes, strict=True):
            draw(path=file, theme=theme)
        return self._picture(*files)

    def pixels(self, name: str, pixels: np.ndarray | Tensor) -> Picture:
        """Save an array (H, W, 3) uint8, or a tensor (3, H, W) uint8 or in [0, 1]."""
        if isinstance(pixels, Tensor):
            if pixels.is_floating_point():
                pixels = pixels.mul(255).round().byte()
            pixels = pixels.permute(1, 2, 0).cpu().numpy()
        file = self._path(name)
        Image.fromarray(np.ascontiguousarray(pixels)).save(file)
        return self._picture(file)

    def _path(self, name: str) -> Path:
        safe = ''.join(c if c.isalnum() or c in '-_.' else '_' for c in name)
        return self.folder / f'{safe}.png'

    @staticmethod
    def _picture(light: Path, dark: Path | None = None) -> Picture:
        with Image.open(light) as image:
            width, height = image.size
        uris = [
            'data:image/png;base64,' + b64encode(file.read_bytes()).decode() if file else ''
            for file in (light, dark)
        ]
        return Picture(uris[0], uris[1], width, height, max(width, height) <= 96)
