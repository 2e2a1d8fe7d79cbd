"""A momentum encoder."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from mmlogo.models.parts.counter import Counter


class Teacher(nn.Module):
    """A slow copy of the student: theta_k <- m theta_k + (1 - m) theta_q.

    MoCo, arXiv 1911.05722, equation 2. Parameters are averaged; BatchNorm keeps
    its own running statistics, and uses its batch's in training.

    Args:
        backbone, neck: The student's; copied.
        momentum: m of the paper, the weight of the *old* parameters, in [0, 1].
    """

    def __init__(self, *, backbone: nn.Module, neck: nn.Module, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(
                f'momentum={momentum}, but it is the weight of the old parameters, in '
                '[0, 1] (0.99 or 0.999 are usual; MMEngine writes 1 - m)'
            )
        self.backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.neck = copy.deepcopy(neck).requires_grad_(False)
        self.momentum = momentum
        self.updates = Counter()
        self._seen: int | None = None

    @torch.no_grad()
    def follow(self, *, backbone: nn.Module, neck: nn.Module) -> None:
        """One step towards the student, once per optimiser step.

        Called before every key forward. The micro-batches of an accumulated
        gradient see one and the same student, and move the teacher once: the
        version that torch counts for a parameter's in-place changes tells.
        """
        own = self._state(self.backbone, self.neck)
        student = self._state(backbone, neck)
        version = next(backbone.parameters())._version
        if self.updates.value == 0:
            # The copy was made before the weights were initialised or loaded.
            for old, new in zip(own['all'], student['all'], strict=True):
                old.copy_(new)
        elif version != self._seen:
            torch._foreach_lerp_(
                own['parameters'], student['parameters'], 1 - self.momentum
            )
        else:
            return
        self._seen = version
        self.updates.set(self.updates.value + 1)

    @staticmethod
    def _state(*modules: nn.Module) -> dict[str, list[Tensor]]:
        parameters = [p for module in modules for p in module.parameters()]
        buffers = [b for module in modules for b in module.buffers()]
        return dict(parameters=parameters, all=parameters + buffers)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, S, S) to (N, D), no gradient."""
        return self.neck(self.backbone(x))[0]
