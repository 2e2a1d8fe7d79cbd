"""A hook that reads the scalars of many steps at once."""

from __future__ import annotations

import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor

from mmlogo.registry import HOOKS


@HOOKS.register_module()
class StepInfoHook(RuntimeInfoHook):
    """Read the scalars of all steps since the last line of the log, for the next line.

    MMEngine's `RuntimeInfoHook` reads every scalar of every step with its own call, and
    each call waits for the GPU. This hook waits once per line of the log, and before a
    checkpoint is saved.
    """

    def before_train(self, runner) -> None:
        super().before_train(runner)
        loggers = [hook for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.interval = min((hook.interval for hook in loggers), default=1)
        self.unread: list[dict[str, Tensor]] = []

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if outputs:
            self.unread.append({name: x.detach() for name, x in outputs.items()})
        # A scalar's first value is read at once: the log has scalars in their first order.
        new = any(f'train/{x}' not in runner.message_hub.log_scalars for x in outputs or ())
        if (
            new
            or self.every_n_inner_iters(batch_idx, self.interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            self.read(runner)

    def settle(self, runner) -> None:
        """Read what is unread, before a checkpoint saves the log's window."""
        self.read(runner)

    def read(self, runner) -> None:
        """Give the scalars of the steps that were not read yet to MMEngine's log."""
        if not self.unread:
            return
        scalars = [x.float() for step in self.unread for x in step.values()]
        values = iter(torch.stack(scalars).tolist())
        for step in self.unread:
            for name in step:
                runner.message_hub.update_scalar(f'train/{name}', next(values))
        self.unread = []
