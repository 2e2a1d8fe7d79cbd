"""BatchNorm's running statistics, averaged over processes before they are saved."""

from __future__ import annotations

from mmengine.hooks import CheckpointHook, Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.statistics import average_statistics
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class AverageStatisticsHook(Hook):
    """Average BatchNorm's running statistics over processes before they are saved.

    Where BatchNorm is per process each has its own, and a checkpoint would have those of
    rank 0 alone. Training does not see it: running statistics are linear in the batches',
    so that their mean, which EMAN's teacher follows, goes on as it would have.
    """

    priority = 'LOW'  # before CheckpointHook

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
