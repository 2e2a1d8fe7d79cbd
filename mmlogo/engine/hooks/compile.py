"""A hook that compiles the network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.hooks import Hook
from torch import nn

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the forward passes of backbone and neck, and those of a teacher.

    `tools/train.py --compile` adds this hook. Only the passes of a training step are
    compiled. Evaluation, whose batches have other sizes, is not. The first step takes up to
    some minutes. Results agree with those of the same network without it but for rounding.

    Args:
        kwargs: Arguments of `torch.compile`, such as `mode`.

    Raises:
        RuntimeError: When training starts, if this machine cannot compile.
    """

    def __init__(self, **kwargs) -> None:
        self.options = dict(dynamic=False) | kwargs
        self.compiled: list[nn.Module] = []

    def before_train(self, runner) -> None:
        model = unwrapped(runner.model)
        self.refuse_without_a_compiler(next(model.parameters()).device)
        teachers = [part for part in model.modules() if isinstance(part, Teacher)]
        for owner in (model, *teachers):
            for name in ('backbone', 'neck'):
                part = getattr(owner, name, None)  # not every model has a neck
                if part is not None:
                    part.forward = self.compiled_forward(part, owner is model)
                    self.compiled.append(part)

    def after_train(self, runner) -> None:
        for part in self.compiled:
            del part.forward  # the class has the plain one
        self.compiled = []

    def compiled_forward(self, part: nn.Module, with_gradient: bool) -> Callable:
        plain = part.forward
        fast = torch.compile(plain, **self.options)

        def forward(*args, **kwargs):
            in_a_step = part.training and torch.is_grad_enabled() >= with_gradient
            return (fast if in_a_step else plain)(*args, **kwargs)

        return forward

    @staticmethod
    def refuse_without_a_compiler(device: torch.device) -> None:
        try:
            torch.compile(lambda x: (x + 1).relu())(torch.ones(8, device=device))
        except Exception as error:
            needs = 'Triton and a C compiler' if device.type == 'cuda' else 'a C++ compiler'
            raise RuntimeError(
                f'--compile: torch.compile does not work here ({type(error).__name__}: '
                f'{str(error).splitlines()[0]}). On {device.type} it needs {needs}: '
                'install one (`apt install g++`), or train without --compile'
            ) from error
