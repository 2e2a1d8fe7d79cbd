"""The parameters of every view, as a pure function of the sample's seeds.

They are drawn on the CPU in float64, for many samples at once. So crops cut in a worker
and crops cut on the device are the same. The stream of a view is its place in the list of
views. The constants below say which blocks of the stream are used for what.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mmlogo.views.seeds import uniform
from mmlogo.views.spec import ViewSpec

ATTEMPTS = 10  # blocks 0 to 9: each is one attempt at a crop
LOOK_BLOCKS = (16, 17, 18, 19)  # switches, amounts, factors, order


class Look(NamedTuple):
    """How each of N crops changes after it is cut out."""

    flip: Tensor  # (N,) bool
    jitter: Tensor  # (N,) bool
    order: Tensor  # (N, 4): the i-th of 0 brightness 1 contrast 2 saturation 3 hue
    factors: Tensor  # (N, 4): three multipliers, and the hue's shift in turns
    gray: Tensor  # (N,) bool
    blur: Tensor  # (N,) bool
    sigma: Tensor  # (N,) pixels
    solarize: Tensor  # (N,) bool


def draw_boxes(seeds: Tensor, view: int, spec: ViewSpec, height: int, width: int) -> Tensor:
    """Draw crop boxes by the rule of torchvision's RandomResizedCrop.

    The area is uniform in `scale` and the aspect log-uniform in `ratio`. If none of ten
    attempts fits into the image, the box is the largest central one of an allowed aspect.

    Args:
        seeds: Seeds (N, 3) from `pack_seeds`, on the CPU.
        view: The view's place in the list of views, from 0.
        spec: The view.
        height: Height of the N images, pixels. All have the same.
        width: Width of the N images, pixels. All have the same.

    Returns:
        Boxes (N, 4), int64: top, left, height, width, pixels.
    """
    return _boxes(uniform(seeds, [view], range(ATTEMPTS)), [spec], height, width)[0]


def draw_all_boxes(
    seeds: Tensor, specs: Sequence[ViewSpec], height: int, width: int
) -> list[Tensor]:
    """Draw what `draw_boxes` draws, for every view in one pass."""
    drawn = uniform(seeds, range(len(specs)), range(ATTEMPTS))
    return [*_boxes(drawn, specs, height, width)]


def _boxes(u: Tensor, specs: Sequence[ViewSpec], height: int, width: int) -> Tensor:
    """Turn uniform numbers (S, attempts, N, 4) of S views to boxes (S, N, 4)."""
    # In NumPy, because a worker draws for one sample and its calls cost less than torch's.
    area, aspect, top, left = np.moveaxis(u.numpy(), 3, 0)  # (S, attempts, N) each
    ranges = [(*spec.scale, *(math.log(ratio) for ratio in spec.ratio)) for spec in specs]
    low, high, thin, wide = np.array(ranges).T[:, :, None, None]  # (S, 1, 1) each
    area = height * width * (low + (high - low) * area)
    aspect = np.exp(thin + (wide - thin) * aspect)
    w = np.sqrt(area * aspect).round().astype(np.int64)
    h = np.sqrt(area / aspect).round().astype(np.int64)
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    top = (top * (height - h + 1)).astype(np.int64)
    left = (left * (width - w + 1)).astype(np.int64)
    first = fits.argmax(axis=1)[:, None]  # (S, 1, N): the first attempt that fits, or 0
    attempts = np.stack((top, left, h, w), axis=3)
    chosen = np.take_along_axis(attempts, first[..., None], axis=1)[:, 0]
    central = np.array([_central(spec, height, width) for spec in specs])[:, None]
    return torch.from_numpy(np.where(fits.any(axis=1)[..., None], chosen, central))


def _central(spec: ViewSpec, height: int, width: int) -> list[int]:
    low, high = spec.ratio
    h, w = height, width
    if width / height < low:
        h = round(width / low)
    elif width / height > high:
        w = round(height * high)
    return [(height - h) // 2, (width - w) // 2, h, w]


def draw_look(seeds: Tensor, view: int, spec: ViewSpec) -> Look:
    """Draw flip, colours, blur and solarisation of view number `view` of N samples."""
    return _look(uniform(seeds, [view], LOOK_BLOCKS)[0], spec)


def draw_all_looks(seeds: Tensor, specs: Sequence[ViewSpec]) -> list[Look]:
    """Draw what `draw_look` draws, for every view in one pass."""
    drawn = uniform(seeds, range(len(specs)), LOOK_BLOCKS)
    return [_look(u, spec) for u, spec in zip(drawn, specs, strict=True)]


def _look(u: Tensor, spec: ViewSpec) -> Look:
    """Turn uniform numbers (4 blocks, N, 4) to a look."""
    switches, amounts, factors, order = u
    flip, jitter, gray, blur = switches.unbind(1)
    sigma, solarize, _, _ = amounts.unbind(1)
    strength = torch.tensor(spec.jitter, dtype=torch.float64)
    low, high = 1 - strength, 1 + strength
    low = low.clamp(min=0)
    low[3], high[3] = -strength[3], strength[3]
    return Look(
        flip=flip < spec.flip,
        jitter=jitter < spec.jitter_p,
        order=order.argsort(dim=1),
        factors=_between(factors, low, high),
        gray=gray < spec.gray,
        blur=blur < spec.blur,
        sigma=_between(sigma, *spec.blur_sigma),
        solarize=solarize < spec.solarize,
    )


def _between(u: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    return low + (high - low) * u
