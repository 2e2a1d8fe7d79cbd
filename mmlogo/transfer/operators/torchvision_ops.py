"""torchvision's operators behind the names and arguments of `mmcv._ext`.

mmcv's Python allocates the results and hands them over to be filled; only `nms` returns
its own. Sums are in float32 at least, as torchvision has no bfloat16 kernels and mmcv's
callers pass what autocast made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor

from mmlogo.version import MINIMUM

NAMES = 'nms, roi_align and sigmoid_focal_loss'
# Without build isolation setup.py sees torch, and only then compiles; pip's cache may hold
# the wheel that it made without.
REMEDY = (
    "pip install 'setuptools>=80' wheel packaging && pip install --force-reinstall "
    '--no-deps --no-cache-dir --no-build-isolation --no-binary onedl-mmcv '
    f"'onedl-mmcv>={MINIMUM['mmcv'][1]}'"
)


def _at_least_float32(*tensors: Tensor) -> list[Tensor]:
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return [tensor.to(dtype) for tensor in tensors]


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better one overlaps by more than a threshold.

    Args:
        boxes: (N, 4), corners x1, y1, x2, y2.
        scores: (N,). Of equal ones the first is the better.
        iou_threshold: Intersection over union up to which both stay.
        offset: Added to widths and heights: 1 if x2 and y2 are the last pixels inside.

    Returns:
        (K,) int64, by falling score.
    """
    boxes, scores = _at_least_float32(boxes, scores)
    if offset:
        # min(a, b) + 1 = min(a + 1, b + 1): the overlap of boxes that end a pixel later
        boxes = boxes + boxes.new_tensor((0, 0, offset, offset))
    # mmcv compares in float32: of two boxes that overlap by 3/10 and a threshold of 0.3
    # both stay, where float32's 3/10 would exceed a double's 0.3.
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    return torch.ops.torchvision.nms(boxes, scores, threshold)


def _check_average(pool_mode: int) -> None:
    if pool_mode != 1:
        raise NotImplementedError(
            "roi_align with pool_mode='max' is compiled code of mmcv, and this mmcv was "
            "installed without it; torchvision's takes averages only. Use pool_mode='avg', "
            f'or compile mmcv: {REMEDY}'
        )


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples in a grid of bins over each box (Mask R-CNN, section 3).

    Args:
        input: (N, C, H, W).
        rois: (K, 5), index of the image and the box's corners.
        output: (K, C, aligned_height, aligned_width), filled.
        argmax_y: Of max pooling; empty.
        argmax_x: Of max pooling; empty.
        aligned_height: Bins down a box.
        aligned_width: Bins across a box.
        spatial_scale: From the boxes' coordinates to the input's.
        sampling_ratio: Samples a bin along each axis; 0 for one a pixel.
        pool_mode: 1, averages.
        aligned: Whether pixel centres are at halves; if not, boxes have a pixel at least.

    Raises:
        NotImplementedError: For pool_mode 0, maxima.
    """
    _check_average(pool_mode)
    pooled = torch.ops.torchvision.roi_align(
        *_at_least_float32(input, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        sampling_ratio,
        aligned,
    )
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """The gradient of `roi_align_forward`, whose arguments it shares, in `grad_input`."""
    _check_average(pool_mode)
    grad = torch.ops.torchvision._roi_align_backward(
        *_at_least_float32(grad_output, rois),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input.copy_(grad)


def _focal_terms(
    input: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sign, factor alpha_t (1 - p_t)^gamma, p_t and log p_t, each (N, C)."""
    (x,) = _at_least_float32(input)
    classes = input.shape[1]
    own = (target[:, None] == torch.arange(classes, device=target.device)).to(x.dtype)
    sign = 2 * own - 1
    wrong = torch.sigmoid(-sign * x)
    factor = (alpha * own + (1 - alpha) * (1 - own)) * wrong**gamma
    if weight.numel():
        outside = target[(target < 0) | (target >= classes)]
        if outside.numel():
            raise ValueError(
                f'sigmoid_focal_loss with a weight for each of {classes} classes has the '
                f'label {int(outside[0])}, which has none; give labels in [0, {classes}), '
                'or no weight'
            )
        factor = factor * weight[target][:, None]
    return sign, factor, 1 - wrong, F.logsigmoid(sign * x)


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """-alpha_t (1 - p_t)^gamma log p_t (Lin et al., arXiv 1708.02002, equation 5).

    NOTE: mmcv bounds p_t at the smallest float32, and the loss at 87; here log p_t is that
    of the logit, without a bound.

    Args:
        input: (N, C), logits.
        target: (N,) int64. Any label outside [0, C), such as the background's C or an
            ignored -1, is a negative of every class, as in mmcv.
        weight: (C,), factor of the rows with that label; empty for none.
        output: (N, C), filled.
        gamma: Exponent, at least 0.
        alpha: Weight of positives, of negatives 1 - alpha; in [0, 1].

    Raises:
        ValueError: For a label outside [0, C) with a weight; mmcv reads other memory.
    """
    _, factor, _, log_p = _focal_terms(input, target, weight, gamma, alpha)
    output.copy_(-factor * log_p)


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    *,
    gamma: float,
    alpha: float,
) -> None:
    """The gradient of `sigmoid_focal_loss_forward`, (N, C), in `grad_input`."""
    sign, factor, p, log_p = _focal_terms(input, target, weight, gamma, alpha)
    grad_input.copy_(sign * factor * (gamma * p * log_p - (1 - p)))


def get_compiler_version() -> str:
    """What a report of the environment says of mmcv."""
    return f'none; {NAMES} of torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    return 'none'


SERVED: tuple[Callable, ...] = (
    nms,
    roi_align_forward,
    roi_align_backward,
    sigmoid_focal_loss_forward,
    sigmoid_focal_loss_backward,
    get_compiler_version,
    get_compiling_cuda_version,
)


def missing(name: str) -> Callable[..., NoReturn]:
    """In place of an operator that torchvision does not have.

    Raises:
        AttributeError: For names that Python itself looks up.
    """
    if name.startswith('__'):
        raise AttributeError(f'this stand-in of mmcv._ext has no {name}')

    def operator(*args: object, **kwargs: object) -> NoReturn:
        raise NotImplementedError(
            f"mmcv's operator {name} is compiled code, and this mmcv was installed "
            f'without it; torchvision serves only {NAMES}. Compile mmcv, an hour or '
            f'more: {REMEDY}'
        )

    operator.__name__ = name
    return operator
