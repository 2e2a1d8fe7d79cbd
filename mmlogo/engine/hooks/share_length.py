"""How long the training is, told to the parts of the model."""

from __future__ import annotations

import math

from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.schedule import Paced, TrainingLength
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ShareLengthHook(Hook):
    """Tell the model's parts that change with time how long the training is."""

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        accumulation = runner.optim_wrapper._accumulative_counts
        length = TrainingLength(
            updates=math.ceil(runner.max_iters / accumulation),
            steps_per_epoch=len(runner.train_dataloader),
        )
        for part in unwrapped(runner.model).modules():
            if isinstance(part, Paced):
                part.expect(length)
                if runner.iter == 0:  # no resume: counts may be those of `load_from`
                    part.restart()
                elif runner.iter % accumulation:
                    part.resume_midway()
