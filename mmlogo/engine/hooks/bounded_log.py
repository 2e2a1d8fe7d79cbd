"""A hook that keeps MMEngine's log from growing with the length of a training."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer

from mmlogo.registry import HOOKS


@HOOKS.register_module()
class BoundedLogHook(Hook):
    """Forget the oldest values of every logged scalar.

    MMEngine keeps each value of each scalar, in memory and in every checkpoint, and copies
    all of them at each step. The log itself shows means over its window, over an epoch at
    most. Where a config asks for the mean of the whole training (`method_name` or
    `window_size` 'global'), nothing is forgotten.

    Args:
        least: Number of values that are kept at least. Default: 1000. An epoch's are kept
            if it has more.
    """

    priority = 'VERY_LOW'

    def __init__(self, least: int = 1000) -> None:
        self.least = least

    def before_train(self, runner) -> None:
        self.length = max(self.least, len(runner.train_dataloader))
        customs = getattr(runner.log_processor, 'custom_cfg', [])
        self.global_mean = any(c.get('window_size') == 'global' for c in customs)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if self.global_mean or (runner.iter + 1) % self.length:
            return
        scalars = runner.message_hub.log_scalars
        for name, buffer in scalars.items():
            log, count = (part[-self.length :] for part in buffer.data)
            scalars[name] = HistoryBuffer(log.tolist(), count.tolist())
