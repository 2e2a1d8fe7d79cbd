"""A hook that keeps NaN and infinity out of the weights."""

from __future__ import annotations

from dataclasses import dataclass, field
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


@dataclass
class Step:
    """What one optimiser step was made of."""

    losses: list[dict[str, Tensor]] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)
    iteration: int = 0
    epoch: int = 0
    verdict: Verdict | None = None


class Verdict:
    """A number that the device has yet to compute. Reading it waits for that alone.

    Args:
        value: (1,), on any device.
    """

    def __init__(self, value: Tensor) -> None:
        self.value, self.event = value, None
        if value.is_cuda:
            self.value = torch.empty_like(value, device='cpu', pin_memory=True)
            self.value.copy_(value, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record()

    def __bool__(self) -> bool:
        if self.event is not None:
            self.event.synchronize()
        return bool(self.value.item())


@HOOKS.register_module()
class FiniteHook(Hook):
    """End the training before a step whose losses or gradients are not finite.

    The hook looks once per optimiser step, before the step. So no such value reaches the
    weights, and no checkpoint is overwritten. With float16 on CUDA the loss scaling skips
    steps whose gradients overflow. Those steps are its own business, unless they do not
    end.

    On a GPU, a look would wait for all that the step has computed. Optimisers of torch with
    `fused=True` can skip a step by themselves. With them the GPU decides whether the step
    is made. This hook reads the decision one step later, before the next step, an
    evaluation or a checkpoint.

    Args:
        patience: Number of steps in a row that the loss scaling may skip. Default: 50.
        wait: With True, the hook looks before every step, and with False one step later.
            Default: None, which waits on a CPU or if the optimiser is not fused.

    Raises:
        NotFiniteError: In training. The message names the step, the terms, the samples and
            the last checkpoint.
    """

    priority = 'VERY_HIGH'

    def __init__(self, patience: int = 50, wait: bool | None = None) -> None:
        self.patience, self.wait = patience, wait
        self.now = Step()
        self.last: Step | None = None  # the step that is not settled
        self.listening: list[Any] = []
        self.stepped, self.skipped = False, 0

    def before_train(self, runner) -> None:
        self.runner = runner
        optimizer = runner.optim_wrapper.optimizer
        if self.wait is None:
            on_gpu = next(runner.model.parameters()).is_cuda
            self.wait = not (on_gpu and optimizer.defaults.get('fused'))
        self.listening = [
            runner.model.register_forward_hook(self._keep),
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    def after_train(self, runner) -> None:
        self.settle(runner)
        for handle in self.listening:
            handle.remove()
        self.listening = []

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.now.batches.append(data_batch)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if not runner.optim_wrapper.should_update():
            return
        self.skipped = 0 if self.stepped else self.skipped + 1
        self.now, self.stepped = Step(), False
        if self.skipped > self.patience:
            raise NotFiniteError(
                f'the loss scaling has skipped {self.skipped} steps in a row, until '
                f'iteration {runner.iter + 1}: gradients overflow at every scale. '
                + self._remedy()
            )

    def _keep(self, model: nn.Module, args: tuple, output: object) -> None:
        if isinstance(output, dict) and model.training:
            self.now.losses.append(
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
        terms = [value.sum() for losses in self.now.losses for value in losses.values()]
        self.now.iteration, self.now.epoch = self.runner.iter + 1, self.runner.epoch + 1
        if self.wait:
            norm = nn.utils.get_total_norm(gradients).float()
            if not torch.stack([norm, *terms]).sum().isfinite().item():
                self._refuse(self.now)
            return
        self.settle()
        found = torch.zeros(1, device=gradients[0].device)
        # what torch.amp.GradScaler does, with a scale of 1
        torch._amp_foreach_non_finite_check_and_unscale_(
            gradients, found, torch.ones_like(found)
        )
        if terms:
            found.logical_or_(~torch.stack(terms).isfinite().all())
        optimizer.found_inf = found  # type: ignore[attr-defined]
        self.now.verdict = Verdict(found)
        self.last = self.now

    def _after_step(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if self.last is self.now:
            del optimizer.found_inf  # type: ignore[attr-defined]

    def settle(self, runner: object = None) -> None:
        """Read what the device decided of the last step.

        Raises:
            NotFiniteError: If it was not made.
        """
        last, self.last = self.last, None
        if last is not None and last.verdict:
            self._refuse(last)

    def before_val(self, runner) -> None:
        self.settle()

    def _refuse(self, step: Step) -> None:
        terms = {
            f'{name} = {float(value.sum())}'
            for losses in step.losses
            for name, value in losses.items()
            if not torch.isfinite(value).all()
        }
        model = unwrapped(self.runner.model)
        own = step.iteration == self.runner.iter + 1  # else they are of the step after
        gradients = [
            name
            for name, p in model.named_parameters()
            if own and p.grad is not None and not torch.isfinite(p.grad).all()
        ]
        if not terms and not gradients and not step.verdict:
            return  # finite values whose sum overflows
        weights = [n for n, p in model.named_parameters() if not torch.isfinite(p).all()]
        found = [f'losses: {", ".join(sorted(terms))}'] if terms else []
        if gradients:
            found += [f'gradients of {_some(gradients)}']
        elif step.verdict and not terms:
            found += ['gradients']  # they are gone by now
        found += [f'weights: {_some(weights)}'] if weights else []
        raise NotFiniteError(
            f'iteration {step.iteration}, epoch {step.epoch}: not finite are '
            f'{"; ".join(found)}. The step was not made, and no checkpoint was written. '
            f'The samples of the batch: {_some([str(s) for s in self._samples(step)])}. '
            + self._remedy()
        )

    @staticmethod
    def _samples(step: Step) -> list[int]:
        found = []
        for batch in step.batches:
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
