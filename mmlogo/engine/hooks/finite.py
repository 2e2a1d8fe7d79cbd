"""A hook that keeps NaN and infinity out of the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, is_tensor, nn

from mmlogo.checkpoints.newest import checkpoints_in
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS
from mmlogo.views.seeds import Seeds

_SHOWN = 8


class NotFiniteError(FloatingPointError):
    """A loss or a gradient is NaN or infinite. The weights are those of the step before."""


@HOOKS.register_module()
class FiniteHook(Hook):
    """End the training before a step whose losses or gradients are not finite.

    The hook looks once per optimiser step, before the step. So no such value reaches the
    weights, and no checkpoint is overwritten. With float16 on CUDA the loss scaling skips
    steps whose gradients overflow. Those steps are its own business, unless they do not
    end.

    Args:
        patience: Number of steps in a row that the loss scaling may skip. Default: 50.

    Raises:
        NotFiniteError: In training. The message names the step, the terms, the samples and
            the last checkpoint.
    """

    priority = 'VERY_HIGH'

    def __init__(self, patience: int = 50) -> None:
        self.patience = patience
        self.losses: list[dict[str, Tensor]] = []
        self.batches: list[Any] = []
        self.listening: list[Any] = []
        self.stepped, self.skipped = False, 0

    def before_train(self, runner) -> None:
        self.runner = runner
        optimizer = runner.optim_wrapper.optimizer
        self.listening = [
            runner.model.register_forward_hook(self._keep),
            optimizer.register_step_pre_hook(self._before_step),
        ]

    def after_train(self, runner) -> None:
        for handle in self.listening:
            handle.remove()
        self.listening = []

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.batches.append(data_batch)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if not runner.optim_wrapper.should_update():
            return
        self.skipped = 0 if self.stepped else self.skipped + 1
        self.losses, self.batches, self.stepped = [], [], False
        if self.skipped > self.patience:
            raise NotFiniteError(
                f'the loss scaling has skipped {self.skipped} steps in a row, until '
                f'iteration {runner.iter + 1}: gradients overflow at every scale. '
                + self._remedy()
            )

    def _keep(self, model: nn.Module, args: tuple, output: object) -> None:
        if isinstance(output, dict) and model.training:
            self.losses.append(
                {
                    name: torch.stack([part.detach().float().sum() for part in parts])
                    for name, value in output.items()
                    if 'loss' in name
                    and (parts := value if isinstance(value, (list, tuple)) else [value])
                    and all(map(is_tensor, parts))
                }
            )

    @torch.no_grad()
    def _before_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        self.stepped = True
        if getattr(optimizer, 'found_inf', None) is not None:
            return  # a fused optimiser under loss scaling skips such a step itself
        gradients = [
            p.grad
            for group in optimizer.param_groups
            for p in group['params']
            if p.grad is not None
        ]
        terms = [value.sum() for losses in self.losses for value in losses.values()]
        norm = nn.utils.get_total_norm(gradients).float()
        if not math.isfinite(torch.stack([norm, *terms]).sum().item()):  # one wait
            self._refuse()

    def _refuse(self) -> None:
        runner = self.runner
        terms = {
            f'{name} = {float(value.sum())}'
            for losses in self.losses
            for name, value in losses.items()
            if not torch.isfinite(value).all()
        }
        model = unwrapped(runner.model)
        gradients = [
            name
            for name, p in model.named_parameters()
            if p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        if not terms and not gradients:
            return  # finite values whose sum overflows
        weights = [n for n, p in model.named_parameters() if not torch.isfinite(p).all()]
        found = [f'losses: {", ".join(sorted(terms))}'] if terms else []
        found += [f'gradients of {_some(gradients)}'] if gradients else []
        found += [f'weights: {_some(weights)}'] if weights else []
        raise NotFiniteError(
            f'iteration {runner.iter + 1}, epoch {runner.epoch + 1}: not finite are '
            f'{"; ".join(found)}. The step was not made, and no checkpoint was written. '
            f'The samples of the batch: {_some([str(s) for s in self._samples()])}. '
            + self._remedy()
        )

    def _samples(self) -> list[int]:
        found = []
        for batch in self.batches:
            seeds = batch.get('seeds') if isinstance(batch, dict) else None
            rows = seeds.rows if isinstance(seeds, Seeds) else seeds
            if isinstance(rows, Tensor):
                found += rows[:, 2].tolist()
        return found

    def _remedy(self) -> str:
        saved = checkpoints_in(self.runner.work_dir)
        return (
            'Lower the learning rate or lengthen the warm-up, look at these samples, and '
            + (
                f'go on from {saved[0]} with --resume'
                if saved
                else 'start again (there is no checkpoint yet)'
            )
        )


def _some(names: list[str]) -> str:
    text = ', '.join(names[:_SHOWN]) or 'not known'
    return text + (f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else '')
