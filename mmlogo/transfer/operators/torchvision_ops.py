"""torchvision's operators behind the names and arguments of `mmcv._ext`.

mmcv's Python code allocates the results, and these functions fill them. Only `nms` returns
a new tensor. Computations are at least in float32, because torchvision has no bfloat16
kernels and under autocast mmcv's callers pass half precision.
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
# setup.py compiles only if it sees torch, that is without build isolation. pip's cache may
# hold a wheel that was built without compiling.
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
    """Return indices of boxes that no better box overlaps by more than a threshold.

    Args:
        boxes: Boxes (N, 4), corners x1, y1, x2, y2.
        scores: Scores (N,). Of two boxes with equal scores the first is better.
        iou_threshold: Largest intersection over union for which both boxes stay.
        offset: Added to widths and heights, pixels. It is 1 if x2 and y2 are the last
            pixels inside a box.

    Returns:
        Indices (K,), int64, by descending score.
    """
    boxes, scores = _at_least_float32(boxes, scores)
    if offset:
        # min(a, b) + 1 = min(a + 1, b + 1). So the overlap with an offset is that of boxes
        # that end a pixel later.
        boxes = boxes + boxes.new_tensor((0, 0, offset, offset))
    # mmcv compares in float32. There, two boxes with an overlap of 3/10 both stay at
    # threshold 0.3. But float32's 3/10 is larger than the double 0.3.
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
        input: Feature maps (N, C, H, W).
        rois: Boxes (K, 5): index of the image, then the corners.
        output: Result (K, C, aligned_height, aligned_width). It is filled.
        argmax_y: Not used. Only max pooling needs it.
        argmax_x: Not used. Only max pooling needs it.
        aligned_height: Number of bins along a box's height.
        aligned_width: Number of bins along a box's width.
        spatial_scale: Factor from the boxes' coordinates to the input's.
        sampling_ratio: Samples per bin along each axis. With 0, one sample per pixel.
        pool_mode: Must be 1, averages.
        aligned: With True, pixel centres are at halves. With False, boxes have at least
            one pixel.

    Raises:
        NotImplementedError: If `pool_mode` is 0, maxima.
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
    """Write the gradient of `roi_align_forward` to `grad_input`. Arguments are the same."""
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
    """Return sign, factor alpha_t (1 - p_t)^gamma, p_t and log p_t, each (N, C)."""
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
    """Compute -alpha_t (1 - p_t)^gamma log p_t (Lin et al., arXiv 1708.02002, equation 5).

    NOTE: mmcv bounds p_t below by the smallest float32, so its log is above -87. Here
    log p_t is computed from the logit, without a bound.

    Args:
        input: Logits (N, C).
        target: Labels (N,), int64. A label outside [0, C), such as the background's C or
            an ignored -1, is a negative of every class, as in mmcv.
        weight: Factors (C,) of the rows with each label. Empty for no factors.
        output: Result (N, C). It is filled.
        gamma: Exponent, >= 0.
        alpha: Weight of positives, in [0, 1]. Negatives have weight 1 - alpha.

    Raises:
        ValueError: If a label is outside [0, C) and there are weights. mmcv would read
            memory outside the weights.
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
    """Write the gradient (N, C) of `sigmoid_focal_loss_forward` to `grad_input`."""
    sign, factor, p, log_p = _focal_terms(input, target, weight, gamma, alpha)
    grad_input.copy_(sign * factor * (gamma * p * log_p - (1 - p)))


def get_compiler_version() -> str:
    """Return what a report of the environment says about mmcv's compiler."""
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
    """Return a function that raises, for an operator that torchvision does not have.

    Raises:
        AttributeError: For names with two leading underscores, which Python looks up.
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
