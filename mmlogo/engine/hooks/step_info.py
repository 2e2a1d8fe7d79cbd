"""A hook that reads all scalars of a step at once."""

from __future__ import annotations

import torch
from mmengine.hooks import RuntimeInfoHook

from mmlogo.registry import HOOKS


@HOOKS.register_module()
class StepInfoHook(RuntimeInfoHook):
    """Read all scalars of a step at once, for MMEngine's log.

    MMEngine's `RuntimeInfoHook` reads every scalar with its own call, and each call waits
    for the GPU.
    """

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if outputs:
            values = torch.stack([value.detach().float() for value in outputs.values()])
            for name, value in zip(outputs, values.tolist(), strict=True):
                runner.message_hub.update_scalar(f'train/{name}', value)
