"""The memory format that a network trains in."""

from __future__ import annotations

import torch
from torch import nn

from mmlogo.models.parts.norms import SplitBatchNorm2d


def settle_memory_format(model: nn.Module) -> None:
    """Lay weights and views out as the device computes fastest.

    On a GPU that is channels_last, except for networks with `SplitBN`, which needs the
    other. A CPU has no one answer. If the data preprocessor's `channels_last` is True or
    False, it is that on every device.
    """
    preprocessor = model.data_preprocessor
    if getattr(preprocessor, 'channels_last', False) is None:
        on_gpu = next(model.parameters()).is_cuda
        preprocessor.channels_last = on_gpu and not any(
            isinstance(part, SplitBatchNorm2d) for part in model.modules()
        )
    if getattr(preprocessor, 'channels_last', False):
        model.to(memory_format=torch.channels_last)
