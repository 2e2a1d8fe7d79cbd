"""A hook that averages BatchNorm's running statistics before they are saved."""

from __future__ import annotations

from mmengine.hooks import CheckpointHook, Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.statistics import average_statistics
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class AverageStatisticsHook(Hook):
    """Average BatchNorm's running statistics over processes before they are saved.

    If BatchNorm normalises per process, every process has its own running statistics, and
    a checkpoint would hold those of rank 0 alone. Averaging does not change training:
    running statistics are a linear average of batch statistics, so the mean over processes
    evolves the same way. EMAN's teacher follows that mean.
    """

    priority = 'LOW'  # runs before CheckpointHook

    def after_train_epoch(self, runner) -> None:
        average_statistics(unwrapped(runner.model))

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        by_step = [hook.interval for hook in saving if not hook.by_epoch]
        last = self.is_last_train_iter(runner)
        if any(last or self.every_n_train_iters(runner, n) for n in by_step):
            average_statistics(unwrapped(runner.model))
