"""Make views on a CPU, in pieces that stay in its cache.

A CPU waits for memory when each operation runs over a whole batch. Here a few samples, at
most `PIECE` bytes of a view, go through all operations before the next few come. Samples
whose jitters have the same order stand next to each other, so each operation runs only on
those that drew it. Pixels are interleaved, as OpenCV has them: it does a matrix of colours,
the HSV of hue and a separable filter in one call each.

`apply.change_colours` does the same to a batch of tensors on any device. Tests hold the two
within 1e-5 of each other, for values in [0, 1]. A view does not depend on the other samples
of its batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from mmlogo.views.apply import GRAY, Crops, Rows
from mmlogo.views.draw import Look
from mmlogo.views.spec import ViewSpec

PIECE = 2**19  # bytes: with a copy they fit into the cache of one core
# Matrices of colours, (3, 4): the last column is added.
_AS_IT_IS = np.eye(3, 4, dtype=np.float32)
_TO_GRAY = np.array([[*GRAY, 0]] * 3, np.float32)

Images = np.ndarray  # (n, S, S, 3) float32
Numbers = np.ndarray  # (n,) float32, one for each image
Index = np.ndarray  # (n,) int64, samples of the batch


class Normalisation(NamedTuple):
    """How views leave: (x - mean) / std, with channels first or last in memory."""

    mean: Tensor  # three values, for pixels in [0, 1]
    std: Tensor
    channels_last: bool


def make_view(
    source: Rows | Crops, look: Look, spec: ViewSpec, normalisation: Normalisation
) -> Tensor:
    """Cut, flip, jitter, gray, blur, solarise and normalise one view of N samples.

    Args:
        source: Where the crops come from.
        look: What the samples drew.
        spec: The view.
        normalisation: What is done last.

    Returns:
        Views (N, 3, S, S), float32.
    """
    n, size = len(look.flip), source.size
    layout = torch.channels_last if normalisation.channels_last else torch.contiguous_format
    view = torch.empty((n, 3, size, size), memory_format=layout)
    pixels = view.permute(0, 2, 3, 1).numpy()  # (N, S, S, 3), with either layout
    std = normalisation.std.flatten().numpy()
    shift = -normalisation.mean.flatten().numpy() / std
    normalise = np.column_stack((np.diag(1 / std), shift)).astype(np.float32)
    columns: Any = (column.numpy() for column in look)
    drawn: Any = Look(*columns)
    factors = drawn.factors.astype(np.float32)
    threshold = np.float32(spec.solarize_threshold / 255)

    codes = np.where(drawn.jitter, drawn.order @ (1, 4, 16, 64), -1)
    ordered = codes.argsort(kind='stable')
    most = max(1, PIECE // (12 * size * size))
    for piece in (ordered[start : start + most] for start in range(0, n, most)):
        images = _load(source, piece)
        for run in _runs(codes[piece]):
            first = piece[run.start]
            if drawn.jitter[first]:
                images[run] = _jitter(images[run], drawn.order[first], factors[piece[run]])
        for image, sample in zip(images, piece, strict=True):
            if drawn.gray[sample]:
                image[:] = cv2.transform(image, _TO_GRAY)
            if drawn.blur[sample]:
                image[:] = _blur(image, drawn.sigma[sample], spec.blur_reach)
            if drawn.solarize[sample]:
                np.subtract(1, image, out=image, where=image >= threshold)
        ready = cv2.transform(images.reshape(-1, size, 3), normalise)
        for image, sample in zip(ready.reshape(images.shape), piece, strict=True):
            pixels[sample] = image
    return view


def _load(source: Rows | Crops, piece: Index) -> Images:
    """Return crops in [0, 1], flipped where their samples drew it."""
    images = np.empty((len(piece), source.size, source.size, 3), np.float32)
    if isinstance(source, Rows):
        crops = source.some(torch.from_numpy(piece)).crops()
        torch.from_numpy(images).copy_(crops.permute(0, 2, 3, 1))
        return images
    for image, sample in zip(images, piece, strict=True):
        pixels = cv2.merge(tuple(source.pixels[sample].contiguous().numpy()))
        pixels = cv2.flip(pixels, 1) if source.flip[sample] else pixels
        np.divide(pixels, np.float32(255), out=image)
    return images


def _runs(codes: np.ndarray) -> Iterator[slice]:
    """Yield where equal codes stand next to each other."""
    ends = [*(np.flatnonzero(np.diff(codes)) + 1), len(codes)]
    for start, end in zip([0, *ends], ends, strict=False):
        yield slice(start, end)


def _jitter(images: Images, order: np.ndarray, factors: Numbers) -> Images:
    """Change images in one order, by their own factors (n, 4). It may do so in place."""
    for operation in order:
        images = OPERATIONS[operation](images, factors[:, operation])
    return images


def _brightness(images: Images, factor: Numbers) -> Images:
    images *= factor[:, None, None, None]
    return _clamp(images, factor)


def _contrast(images: Images, factor: Numbers) -> Images:
    n, size = images.shape[:2]
    rows = images.reshape(n, size, -1) @ _gray_row(size)  # (n, S): mean gray of each row
    images *= factor[:, None, None, None]
    images += ((1 - factor) * rows.mean(axis=1))[:, None, None, None]
    return _clamp(images, factor)


def _saturation(images: Images, factor: Numbers) -> Images:
    changed = np.empty_like(images)  # in place, OpenCV would copy first
    mixes = factor[:, None, None] * _AS_IT_IS + (1 - factor)[:, None, None] * _TO_GRAY
    for image, mix, result in zip(images, mixes, changed, strict=True):
        cv2.transform(image, mix, dst=result)
    return _clamp(changed, factor)


def _hue(images: Images, turns: Numbers) -> Images:
    n, size = images.shape[:2]
    hsv = cv2.cvtColor(images.reshape(n * size, size, 3), cv2.COLOR_RGB2HSV)
    hue: np.ndarray = hsv[..., 0].reshape(n, size, size)  # degrees
    hue += (360 * (turns % 1))[:, None, None]  # OpenCV takes hues above 360, not below 0
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).reshape(images.shape)


OPERATIONS = (_brightness, _contrast, _saturation, _hue)  # by the numbers of `Look.order`


@functools.cache
def _gray_row(size: int) -> Numbers:
    """Weights (3 S,) that give the mean gray of an interleaved row."""
    return (np.tile(np.array(GRAY), size) / size).astype(np.float32)


def _clamp(images: Images, factor: Numbers) -> Images:
    """Clamp to [0, 1] in place. Only a factor above 1 leads out of it."""
    if factor.max() > 1:
        torch.from_numpy(images).clamp_(0, 1)
    return images


def _blur(image: np.ndarray, sigma: float, reach: int) -> np.ndarray:
    # Reflected padding must be smaller than the image. Beyond six sigma, weights are below
    # the rounding of float32.
    reach = min(reach, image.shape[0] - 1, math.ceil(6 * sigma))
    at = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (at / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    return cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
