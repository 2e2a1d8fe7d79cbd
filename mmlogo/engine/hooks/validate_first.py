"""A hook that evaluates the untrained network."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from mmengine.hooks import EMAHook, Hook, IterTimerHook
from torch import Tensor, nn

from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.engine.unwrap import unwrapped
from mmlogo.evaluation.linear import OnlineProbeMetric
from mmlogo.models.parts.statistics import refit_statistics
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ValidateFirstHook(Hook):
    """Run the validation loop once on the untrained network of a new run.

    So the first point of the k-NN curve is the untrained network. To be fair to it, the
    hook first fits BatchNorm's running statistics to some training views, and restores
    them after the evaluation. These statistics alone raise accuracy, on `PhotoTiles` from
    68 to 80 per cent at k = 1 with untrained weights. Without the fit, training would
    seem to gain this.

    The evaluation takes long, so the first iteration does not wait for it. It comes right
    after that iteration, before anything is saved, on the weights of before. Its figures
    are those of an evaluation before the iteration. A training loader with workers serves
    the views of the fit before the first iteration. If there is an `EMAHook`, which puts
    weights of its own in the place of the model's, everything comes before.

    Args:
        fit_batches: Number of training batches for the fit. Default: 20.
    """

    priority = 'LOWEST'

    def __init__(self, fit_batches: int = 20) -> None:
        self.fit_batches = fit_batches
        self.untrained: list[Tensor] | None = None  # copies, until they are evaluated
        self.is_fitted = False

    def before_train(self, runner) -> None:
        self.untrained = None
        if runner.iter > 0 or not isinstance(runner.val_loop, KNNLoop):
            return
        at_once = any(isinstance(hook, EMAHook) for hook in runner.hooks)
        # Workers that are in an epoch cannot begin another one.
        self.is_fitted = at_once or runner.train_dataloader.num_workers > 0
        with self.fitted(runner) if self.is_fitted else nullcontext():
            self.untrained = [x.clone() for x in state_of(runner)]
        if at_once:
            self.settle(runner)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if self.untrained is not None:
            loss = (outputs or {}).get('loss')
            runner.logger.info(
                'The first iteration is done'
                + (f', loss {loss:.4f}' if isinstance(loss, Tensor) else '')
            )
            self.settle(runner)

    def settle(self, runner) -> None:
        """Evaluate, if that is still to be done. A checkpoint waits for it."""
        if self.untrained is None:
            return
        untrained, self.untrained = self.untrained, None
        runner.logger.info('Evaluating the untrained network')
        fitted = nullcontext() if self.is_fitted else self.fitted(runner)
        with holding(runner, untrained), without_probes(runner.val_loop), fitted:
            runner.val_loop.run()
        for hook in runner.hooks:
            if isinstance(hook, IterTimerHook):
                hook.t = time.time()  # the next iteration begins now

    @contextmanager
    def fitted(self, runner) -> Iterator[None]:
        """Context manager. BatchNorm has statistics of training views inside it."""
        model = unwrapped(runner.model)
        asked = any(m.uses_neck for m in runner.val_evaluator.metrics)
        evaluated = [model.backbone] + ([model.neck] if asked else [])
        with refit_statistics(*evaluated) as count_view:
            model.train()
            for data in itertools.islice(runner.train_dataloader, self.fit_batches):
                views = model.data_preprocessor(data, True)['inputs']
                for x in [views] if isinstance(views, Tensor) else views:
                    with torch.no_grad():
                        count_view()
                        nn.Sequential(*evaluated)(x)
            yield


def state_of(runner) -> list[Tensor]:
    """Return the parameters and buffers of the model, which a training step changes."""
    model = unwrapped(runner.model)
    return [x.detach() for x in (*model.parameters(), *model.buffers())]


@contextmanager
def holding(runner, values: list[Tensor]) -> Iterator[None]:
    """Context manager. The model's parameters and buffers have other values inside it."""
    state = state_of(runner)
    before = [x.clone() for x in state]
    _copy(values, state)
    try:
        yield
    finally:
        _copy(before, state)


@torch.no_grad()
def _copy(values: list[Tensor], to: list[Tensor]) -> None:
    for x, value in zip(to, values, strict=True):
        x.copy_(value)


@contextmanager
def without_probes(loop: KNNLoop) -> Iterator[None]:
    """Context manager. The loop has no metric of a classifier that training has begun."""
    evaluator = loop.evaluator
    metrics = evaluator.metrics
    evaluator.metrics = [m for m in metrics if not isinstance(m, OnlineProbeMetric)]
    try:
        yield
    finally:
        evaluator.metrics = metrics
