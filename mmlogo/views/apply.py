"""Make views from uint8 images and drawn parameters, in batches, on any device.

Each operation does to a sample what torchvision's function does to one image with that
sample's parameters. Tests compare the two. torchvision's own functions, v2 too, take one
parameter for a whole batch. kornia's brightness and contrast are other operations than
torchvision's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlogo.views.draw import Look
from mmlogo.views.spec import ViewSpec

GRAY = (0.2989, 0.587, 0.114)  # torchvision's weights, for RGB


def crop(images: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Cut, resize (bilinear, antialiased) and flip images in one resampling.

    Bilinear resampling is linear and separable, so a crop is two small matrix products
    per sample. A flip reverses the rows of one matrix.

    Args:
        images: Images (N, 3, H, W), uint8.
        boxes: Crops (N, 4): top, left, height, width, pixels.
        flip: Which samples are flipped, (N,) bool.
        size: Side of the result, pixels.

    Returns:
        Crops (N, 3, size, size), float32 in [0, 1].
    """
    return cut(as_rows(images), boxes, flip, size).contiguous()


def as_rows(images: Tensor) -> Tensor:
    """Turn images (N, 3, H, W) uint8 to (N, H, 3, W) float32 in [0, 1], for `cut`."""
    return images.permute(0, 2, 1, 3).contiguous().float().div_(255)


def cut(source: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Do what `crop` does, with images from `as_rows`. Several views can share them.

    The result's rows, not its channels, come first in memory.
    """
    n, height, c, width = source.shape
    top, left, h, w = boxes.unbind(1)
    at = torch.arange(size, device=source.device, dtype=torch.float32).expand(n, size)
    rows = _resampling(top, h, height, at)  # (N, S, H)
    at = torch.where(flip[:, None], at.flip(1), at)
    columns = _resampling(left, w, width, at)  # (N, S, W)
    x = source.reshape(n, height, c * width)
    x = torch.bmm(rows, x).view(n, size * c, width)  # (N, S*3, W)
    x = torch.bmm(x, columns.transpose(1, 2)).view(n, size, c, size)
    return x.transpose(1, 2)  # (N, 3, S, S)


def _resampling(start: Tensor, length: Tensor, extent: int, at: Tensor) -> Tensor:
    """Return weights (N, size, extent) of a triangle filter, zero outside the box.

    `at` (N, size) says which pixel of the result each row of weights makes.
    """
    size = at.shape[1]
    start, length = start[:, None, None].float(), length[:, None, None].float()
    pixel = torch.arange(extent, device=start.device, dtype=torch.float32) - start
    step = length / size
    support = step.clamp(min=1)  # when it shrinks, antialiasing widens the filter
    weights = pixel + 0.5 - step * (at[:, :, None] + 0.5)
    weights = weights.abs_().div_(support).neg_().add_(1).clamp_(min=0)
    weights *= (pixel >= 0) & (pixel < length)
    return weights.div_(weights.sum(dim=2, keepdim=True))


def to_unit(crops: Tensor, flip: Tensor) -> Tensor:
    """Turn a worker's uint8 crops to float32 in [0, 1], and flip those with `flip`."""
    x = crops.float().div_(255)
    return torch.where(flip[:, None, None, None], x.flip(3), x)


class Rows(NamedTuple):
    """Images from `as_rows`, and what becomes of each. A source of N crops."""

    rows: Tensor  # (N, H, 3, W) float32
    boxes: Tensor  # (N, 4)
    flip: Tensor  # (N,) bool
    size: int  # side of a crop, pixels

    def crops(self) -> Tensor:
        return cut(*self)

    def some(self, index: Tensor) -> Rows:
        return Rows(self.rows[index], self.boxes[index], self.flip[index], self.size)


class Crops(NamedTuple):
    """A worker's crops, and which are flipped. The other source of N crops."""

    pixels: Tensor  # (N, 3, S, S) uint8
    flip: Tensor  # (N,) bool

    @property
    def size(self) -> int:
        return self.pixels.shape[-1]

    def crops(self) -> Tensor:
        return to_unit(*self)


def change_all_colours(
    views: Sequence[Tensor], looks: Sequence[Look], specs: Sequence[ViewSpec]
) -> list[Tensor]:
    """Do what `change_colours` does for every view (N, 3, S, S), in one pass for all alike.

    On a GPU the number of calls counts, not their size. So views with the same size and the
    same colours are changed together. `on_cpu` is the way of a CPU.
    """
    alike: dict[ViewSpec, list[int]] = {}
    for place, spec in enumerate(specs):
        alike.setdefault(spec.colours, []).append(place)
    changed: dict[int, Tensor] = {}
    for spec, places in alike.items():
        x = torch.cat([views[place] for place in places])
        columns = zip(*(looks[place] for place in places), strict=True)
        x = change_colours(x, Look(*map(torch.cat, columns)), spec)
        changed |= zip(places, x.chunk(len(places)), strict=True)
    return [changed[place] for place in range(len(views))]


def change_colours(x: Tensor, look: Look, spec: ViewSpec) -> Tensor:
    """Jitter, gray, blur and solarise views (N, 3, S, S) in [0, 1].

    `look` is on the CPU, where it was drawn. The CPU decides which samples an operation
    changes, so it never waits for the device. Two small copies bring the parameters to the
    device.
    """
    there = send(look, x.device)
    hue = [_where((look.order[:, place] == 3) & look.jitter) for place in range(4)]
    chosen = [*hue, _where(look.blur)]
    *hue, blurred = (
        torch.cat(chosen)
        .to(x.device, non_blocking=True)
        .split([len(index) for index in chosen])
    )
    if spec.jitter_p > 0:
        x = jitter(x, there, hue)
    if spec.gray > 0:
        x = torch.where(_column(there.gray), grayscale(x), x)
    if spec.blur > 0 and len(blurred):
        soft = gaussian_blur(x[blurred], there.sigma[blurred], spec.blur_reach)
        x = x.index_copy(0, blurred, soft)
    if spec.solarize > 0:
        threshold = spec.solarize_threshold / 255
        x = torch.where(_column(there.solarize) & (x >= threshold), 1 - x, x)
    return x


def send(look: Look, device: torch.device) -> Look:
    """Copy a look to another device in one transfer. Numbers become float32."""
    columns = [column.view(len(look.flip), -1).float() for column in look]
    sent = torch.cat(columns, dim=1).to(device, non_blocking=True)
    parts = sent.split([column.shape[1] for column in columns], dim=1)
    return Look(
        *(
            (part if column.ndim > 1 else part.squeeze(1)).to(
                torch.bool if column.dtype == torch.bool else torch.float32
            )
            for part, column in zip(parts, look, strict=True)
        )
    )


def _where(mask: Tensor) -> Tensor:
    return mask.nonzero().squeeze(1)


def jitter(x: Tensor, look: Look, hue: Sequence[Tensor]) -> Tensor:
    """Change brightness, contrast, saturation and hue, in each sample's own order.

    Args:
        x: Views (N, 3, S, S) in [0, 1].
        look: The parameters, on the device of `x`. `send` copies them there.
        hue: For each of the four places in the order, the samples whose hue changes
            there.
    """
    factors = torch.where(look.jitter[:, None], look.factors, 1.0)
    for place in range(4):
        operation = look.order[:, place]
        amount = factors.gather(1, operation[:, None].long()).squeeze(1)
        x = _blend(x, operation, amount)
        if len(hue[place]):
            turned = shift_hue(x[hue[place]], amount[hue[place]])
            x = x.index_copy(0, hue[place], turned)
    return x


def _blend(x: Tensor, operation: Tensor, amount: Tensor) -> Tensor:
    """Change brightness, contrast or saturation. These are one operation with 3 targets.

    result = amount * x + (1 - amount) * target, clamped to [0, 1]. The target is black,
    the mean gray of the image, or the gray image. Samples whose hue changes here stay as
    they are.
    """
    gray = grayscale(x)  # (N, 1, S, S)
    contrast, saturation = (_column((operation == i).float()) for i in (1, 2))
    mean = gray.mean(dim=(2, 3), keepdim=True)
    target = contrast * mean + saturation * gray
    factor = _column(torch.where(operation == 3, 1.0, amount))
    return (factor * x + (1 - factor) * target).clamp_(0, 1)


def grayscale(x: Tensor) -> Tensor:
    """Turn RGB (N, 3, S, S) to gray (N, 1, S, S)."""
    r, g, b = x.split(1, dim=1)
    return GRAY[0] * r + GRAY[1] * g + GRAY[2] * b


def shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of each (3, S, S) image by its own part of a full circle.

    This is HSV in closed form. With value v and chroma c, channel n of (5, 3, 1) is
    v - c * max(0, min(k, 4 - k, 1)), where k = (n + 6 hue) mod 6.

    Args:
        x: Images (N, 3, S, S) in [0, 1].
        turns: Turn (N,) of each image, in full circles.
    """
    r, g, b = x.unbind(1)
    value, low = x.amax(1), x.amin(1)
    chroma = value - low
    safe = torch.where(chroma == 0, 1.0, chroma)
    sextant = torch.where(
        value == r,
        (g - b) / safe,
        torch.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe),
    )
    sextant = sextant + 6 * turns[:, None, None]
    offsets = torch.arange(5, 0, -2, device=x.device)[:, None, None]
    k = torch.remainder(sextant[:, None] + offsets, 6)  # (N, 3, S, S)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def gaussian_blur(x: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Blur each image with its own sigma.

    The blur is a sum of shifted images, along columns and then rows. A grouped convolution
    with one kernel per image is up to four times slower at 32 pixels on a CPU, and no
    faster for larger images.

    Args:
        x: Images (N, 3, S, S).
        sigma: Standard deviations (N,), pixels.
        reach: Half the kernel, pixels. The kernel has 2 * reach + 1 weights.
    """
    # Reflected padding must be smaller than the image.
    reach = min(reach, x.shape[2] - 1, x.shape[3] - 1)
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True))[:, :, None, None, None]
    for dim, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        size, padded = x.shape[dim], F.pad(x, padding, mode='reflect')
        x = padded.narrow(dim, 0, size) * kernel[:, 0]
        for shift in range(1, 2 * reach + 1):
            x.addcmul_(padded.narrow(dim, shift, size), kernel[:, shift])
    return x


def _column(values: Tensor) -> Tensor:
    """Reshape (N,) to (N, 1, 1, 1), to combine it with images."""
    return values[:, None, None, None]
