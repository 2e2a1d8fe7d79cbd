"""A hook that lays a network out as its device computes fastest."""

from __future__ import annotations

import torch
from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Train in channels_last, both weights and views, and log it.

    Where the data preprocessor's `channels_last` is True or False, it is that. The format
    is not chosen by a measurement, because a resumed training might choose another one.
    Then its losses would be rounded in another way.

    In several processes only the views have it. DistributedDataParallel made room for
    gradients of the weights' first format. If weights change it afterwards, the gradients
    of the first step are wrong (torch 2.11, with no more than a warning).
    """

    def before_train(self, runner) -> None:
        # Not earlier: weights in another format would be initialised with other numbers.
        model = unwrapped(runner.model)
        preprocessor = model.data_preprocessor
        if getattr(preprocessor, 'channels_last', False) is None:
            preprocessor.channels_last = True
        if getattr(preprocessor, 'channels_last', False):
            if model is runner.model:  # not wrapped
                model.to(memory_format=torch.channels_last)
            runner.logger.info(
                'Memory format: channels_last. For the other one set '
                'model.data_preprocessor.channels_last=False'
            )
