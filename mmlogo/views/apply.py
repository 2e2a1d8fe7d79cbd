"""Views from uint8 images and drawn parameters, batched, on any device.

Each function does to sample n what torchvision's functional of the same name
does with sample n's own parameters; the tests hold them to that. They are ours
because torchvision's (v2 too) take one parameter for a whole batch, and kornia's
brightness and contrast are other operations than torchvision's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlogo.views.draw import Look
from mmlogo.views.spec import ViewSpec

_GRAY = (0.2989, 0.587, 0.114)  # torchvision's weights, for RGB


def crop(images: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Cut, resize (bilinear, antialiased) and flip in one resampling.

    Bilinear resampling is linear and separable, so a crop is two small matrix
    products per sample; a flip reverses the columns of one matrix.

    Args:
        images: (N, 3, H, W) uint8.
        boxes: (N, 4): top, left, height, width.
        flip: (N,) bool.
        size: Side of the result, pixels.

    Returns:
        (N, 3, size, size) float32 in [0, 1].
    """
    n, c, height, width = images.shape
    top, left, h, w = boxes.unbind(1)
    rows = _resampling(top, h, height, size)  # (N, S, H)
    columns = _resampling(left, w, width, size)  # (N, S, W)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    x = images.float().div_(255).permute(0, 2, 1, 3).reshape(n, height, c * width)
    x = torch.bmm(rows, x).view(n, size * c, width)  # (N, S*3, W)
    x = torch.bmm(x, columns.transpose(1, 2)).view(n, size, c, size)
    return x.transpose(1, 2).contiguous()  # (N, 3, S, S)


def _resampling(start: Tensor, length: Tensor, extent: int, size: int) -> Tensor:
    """Weights (N, size, extent) of a triangle filter, zero outside the box."""
    start, length = start[:, None, None].float(), length[:, None, None].float()
    out = torch.arange(size, device=start.device, dtype=torch.float32)[None, :, None]
    pixel = torch.arange(extent, device=start.device, dtype=torch.float32) - start
    step = length / size
    support = step.clamp(min=1)  # antialiasing widens the filter when shrinking
    weights = 1 - (pixel + 0.5 - step * (out + 0.5)).abs() / support
    weights = weights.clamp(min=0) * ((pixel >= 0) & (pixel < length))
    return weights / weights.sum(dim=2, keepdim=True)


def to_unit(crops: Tensor, flip: Tensor) -> Tensor:
    """Crops cut by a worker, uint8, to float32 in [0, 1], flipped where drawn."""
    x = crops.float().div_(255)
    return torch.where(flip[:, None, None, None], x.flip(3), x)


def change_colours(x: Tensor, look: Look, spec: ViewSpec) -> Tensor:
    """Jitter, gray, blur, solarise: (N, 3, S, S) in [0, 1] to the same.

    `look` lives where it was drawn, on the CPU: it decides there which samples
    an operation touches, so that the device is never waited for.
    """
    if spec.jitter_p > 0:
        x = jitter(x, look)
    if spec.gray > 0:
        x = torch.where(_column(look.gray, x), grayscale(x), x)
    if spec.blur > 0:
        touched = look.blur.nonzero().squeeze(1)
        if len(touched):
            there = _send(touched, x)
            sigma = _send(look.sigma[touched].float(), x)
            x = x.index_copy(0, there, gaussian_blur(x[there], sigma, spec.blur_reach))
    if spec.solarize > 0:
        threshold = spec.solarize_threshold / 255
        x = torch.where(_column(look.solarize, x) & (x >= threshold), 1 - x, x)
    return x


def jitter(x: Tensor, look: Look) -> Tensor:
    """Brightness, contrast, saturation and hue, in each sample's own order."""
    still = torch.tensor([1.0, 1.0, 1.0, 0.0], dtype=torch.float64)
    factors = torch.where(look.jitter[:, None], look.factors, still)
    for place in range(4):
        operation = look.order[:, place]
        amount = factors.gather(1, operation[:, None]).squeeze(1)
        x = _blend(x, operation, amount)
        hue = ((operation == 3) & (amount != 0)).nonzero().squeeze(1)
        if len(hue):
            there = _send(hue, x)
            shift = _send(amount[hue].float(), x)
            x = x.index_copy(0, there, shift_hue(x[there], shift))
    return x


def _blend(x: Tensor, operation: Tensor, amount: Tensor) -> Tensor:
    """Brightness, contrast and saturation are one operation with three targets.

    result = amount * x + (1 - amount) * target, clamped, where the target is
    black, the mean gray of the image, or the gray image. Hue samples pass.
    """
    gray = grayscale(x)  # (N, 1, S, S)
    contrast, saturation = (_column((operation == i).float(), x) for i in (1, 2))
    mean = gray.mean(dim=(2, 3), keepdim=True)
    target = contrast * mean + saturation * gray
    factor = _column(torch.where(operation == 3, 1.0, amount).float(), x)
    return (factor * x + (1 - factor) * target).clamp_(0, 1)


def grayscale(x: Tensor) -> Tensor:
    """(N, 3, S, S) RGB to (N, 1, S, S)."""
    r, g, b = x.split(1, dim=1)
    return _GRAY[0] * r + _GRAY[1] * g + _GRAY[2] * b


def shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Turn the hue of each (3, S, S) image by its own part of a full circle.

    HSV in closed form: with value v and chroma c, channel n of (5, 3, 1) is
    v - c * max(0, min(k, 4 - k, 1)) for k = (n + 6 hue) mod 6.
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
    offsets = torch.tensor([5.0, 3.0, 1.0], device=x.device)[:, None, None]
    k = torch.remainder(sextant[:, None] + offsets, 6)  # (N, 3, S, S)
    return value[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def gaussian_blur(x: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Blur each image with its own sigma (N,), pixels; kernel 2 * reach + 1.

    Shifted sums, along columns and then rows: a grouped convolution with a kernel
    per image is up to four times slower at 32 pixels on a CPU, and no faster above.
    """
    reach = min(reach, x.shape[2] - 1, x.shape[3] - 1)  # reflection needs the pixels
    at = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (at / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True))[:, :, None, None, None]
    for dim, padding in ((2, (0, 0, reach, reach)), (3, (reach, reach, 0, 0))):
        size, padded = x.shape[dim], F.pad(x, padding, mode='reflect')
        x = padded.narrow(dim, 0, size) * kernel[:, 0]
        for shift in range(1, 2 * reach + 1):
            x.addcmul_(padded.narrow(dim, shift, size), kernel[:, shift])
    return x


def _send(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.device, non_blocking=True)


def _column(values: Tensor, like: Tensor) -> Tensor:
    """(N,) beside images, as (N, 1, 1, 1) on their device."""
    return _send(values, like)[:, None, None, None]
