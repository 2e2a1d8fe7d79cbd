"""A hook that lays a network out as its device computes fastest."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.norms import SplitBatchNorm2d
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Train on a GPU in channels_last, both weights and views.

    Networks with `SplitBN` are left out, because it needs the other format. Where the data
    preprocessor's `channels_last` is True or False, it is that. On a CPU neither format is
    the faster one for every network. So only a preprocessor with `channels_last=True` gives
    views in that format there.
    """

    def before_train(self, runner) -> None:
        # Not earlier: weights in another format would be initialised with other numbers.
        model = unwrapped(runner.model)
        preprocessor = model.data_preprocessor
        if not next(model.parameters()).is_cuda:
            return
        if getattr(preprocessor, 'channels_last', False) is None:
            parts = model.modules()
            split = any(isinstance(part, SplitBatchNorm2d) for part in parts)
            preprocessor.channels_last = not split
        if getattr(preprocessor, 'channels_last', False):
            model.to(memory_format=torch.channels_last)
