"""A hook that sets the clock of a training before every iteration."""

from __future__ import annotations

import math

from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.clock import Clock, Clocked
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ClockHook(Hook):
    """Tell the model's `Clocked` parts which iteration and optimiser step comes next.

    These parts change with time, such as a teacher with a scheduled momentum.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        self.accumulation = runner.optim_wrapper._accumulative_counts
        self.clock = Clock(
            updates=math.ceil(runner.max_iters / self.accumulation),
            steps_per_epoch=len(runner.train_dataloader),
        )
        for part in unwrapped(runner.model).modules():
            if isinstance(part, Clocked):
                part.clock = self.clock

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.clock.tell(iteration=runner.iter, update=runner.iter // self.accumulation)
