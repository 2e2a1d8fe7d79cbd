"""The untrained network, evaluated before the first step."""

from __future__ import annotations

import itertools

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.statistics import refit_statistics
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ValidateFirstHook(Hook):
    """Run the validation loop once before the first step of a new run.

    The first point of the k-NN curve is then the untrained network, fairly: its
    BatchNorm statistics are fitted to some training views first, and put back after.
    Without that, much of what training seems to gain would be these statistics
    (on `PhotoTiles` 68 to 80 per cent at k 1, with all weights as they were drawn).

    Args:
        fit_batches: Training batches the statistics are fitted to.
    """

    priority = 'LOWEST'

    def __init__(self, fit_batches: int = 20) -> None:
        self.fit_batches = fit_batches

    def before_train(self, runner) -> None:
        if runner.iter == 0 and isinstance(runner.val_loop, KNNLoop):
            model = unwrapped(runner.model)
            sources = {metric.features for metric in runner.val_evaluator.metrics}
            evaluated = [model.backbone] + ([model.neck] if 'neck' in sources else [])
            runner.logger.info('Evaluating the untrained network first')
            with refit_statistics(*evaluated) as count_view:
                model.train()
                for data in itertools.islice(runner.train_dataloader, self.fit_batches):
                    views = model.data_preprocessor(data, True)['inputs']
                    for x in [views] if isinstance(views, Tensor) else views:
                        with torch.no_grad():
                            count_view()
                            nn.Sequential(*evaluated)(x)
                runner.val_loop.run()
