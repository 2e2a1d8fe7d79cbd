"""Turns maps into pictures: features into colours, and the weights of a neck into light."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib import colormaps
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

SIDE = 160  # pixels of the shorter side of a picture
BICUBIC = InterpolationMode.BICUBIC


def pca_colours(maps: Tensor) -> tuple[np.ndarray, float]:
    """Show the first three principal components of all cells as red, green and blue.

    Each component is stretched from its 1st to its 99th percentile. The same maps give the
    same colours, because the solver is exact and fixes the signs.

    Args:
        maps: (N, C, h, w), C >= 3.

    Returns:
        The colours (N, h, w, 3) in [0, 1], and the share of the cells' variance that the
        three components hold, in [0, 1].

    Raises:
        ValueError: If there are fewer than three channels, or all cells are equal.
    """
    from sklearn.decomposition import PCA  # seconds to import

    n, c, h, w = maps.shape
    cells = maps.permute(0, 2, 3, 1).reshape(-1, c).double().cpu().numpy()
    if c < 3 or not np.ptp(cells, axis=0).any():
        raise ValueError(
            f'three components need 3 channels that vary; these maps have {c}'
            + (', the same in every cell: the network has collapsed' if c >= 3 else '')
        )
    pca = PCA(n_components=3, svd_solver='full')
    found = pca.fit_transform(cells)
    low, high = np.quantile(found, (0.01, 0.99), axis=0)
    colours = ((found - low) / np.maximum(high - low, 1e-12)).clip(0, 1)
    return colours.reshape(n, h, w, 3), float(pca.explained_variance_ratio_.sum())


def enlarge(colours: np.ndarray, side: int = SIDE) -> Tensor:
    """Enlarge (N, h, w, 3) in [0, 1] to (N, 3, H, W), shorter side `side`, bicubic."""
    x = torch.from_numpy(colours).float().permute(0, 3, 1, 2)
    return resize(x, [side], BICUBIC, antialias=False).clamp(0, 1)


def sharpest(maps: Tensor) -> list[int]:
    """Return for each group the map whose entropy is least on average over the images.

    Args:
        maps: (N, G, K, h, w), each (h, w) summing to 1.
    """
    flat = maps.flatten(3).clamp(min=1e-12)
    entropy = -(flat * flat.log()).sum(3).mean(0)  # (G, K)
    return entropy.argmin(1).tolist()


def overlay(image: Tensor, weights: Tensor, side: int = SIDE) -> Tensor:
    """Lay a map over its image. The image is gray, and yellow where the map is largest.

    Args:
        image: (3, H, W) uint8.
        weights: (h, w). Colours go from the smallest weight to the largest.
        side: The shorter side of the result in pixels; default: 160.

    Returns:
        (3, side, side * W / H) float32 in [0, 1]. If H > W, the width is `side`.
    """
    below = resize(image.float().mean(0, keepdim=True) / 255, [side], antialias=False)
    heat = resize(weights[None].float(), list(below.shape[1:]), BICUBIC, antialias=False)
    heat = (heat - heat.min()) / (heat.max() - heat.min()).clamp(min=1e-12)
    colour = torch.from_numpy(colormaps['inferno'](heat[0].numpy())[..., :3])
    mixed = (0.6 - 0.35 * heat) * below + (0.26 + 0.49 * heat) * colour.permute(2, 0, 1)
    return mixed.clamp(0, 1).float()
