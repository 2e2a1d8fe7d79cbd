"""Losses and statistics in at least float32, whatever autocast made of them."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """Convert bfloat16 and float16 to float32. Keep float32 and float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
