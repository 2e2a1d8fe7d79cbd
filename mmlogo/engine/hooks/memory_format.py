"""A hook that lays a network out as its device computes fastest."""

from __future__ import annotations

from mmengine.hooks import Hook

from mmlogo.engine.memory_format import settle_memory_format
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Apply `settle_memory_format` to the model.

    `AnyDeviceDataParallel` has done so before, because its buffers for gradients are laid
    out as the weights are.
    """

    def before_run(self, runner) -> None:
        settle_memory_format(unwrapped(runner.model))
