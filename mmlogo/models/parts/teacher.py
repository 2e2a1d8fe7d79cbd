"""A momentum encoder."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float
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
        gradient see one and the same student, and move the teacher once.
        """
        old, new = _tensors(self.backbone, self.neck), _tensors(backbone, neck)
        # A step shows in the version torch counts for in-place changes, or, as fused
        # optimisers do not count, in gradients that were used up.
        trained = [p for m in (backbone, neck) for p in m.parameters() if p.requires_grad]
        version = trained[-1]._version
        moved = version != self._seen or all(p.grad is None for p in trained)
        if self.updates.value == 0:
            # The copy was made before the weights were initialised or loaded.
            for mine, theirs in zip(old.all(), new.all(), strict=True):
                mine.copy_(theirs)
        elif moved and self.training:
            torch._foreach_lerp_(old.parameters, new.parameters, 1 - self.momentum)
        else:
            return
        self._seen = version
        self.updates.set(self.updates.value + 1)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, 'N 3 H W']) -> Float[Tensor, 'N D']:
        """(N, 3, S, S) to (N, D), no gradient."""
        return self.neck(self.backbone(x))[0]


class _State(NamedTuple):
    parameters: list[Tensor]
    buffers: list[Tensor]

    def all(self) -> list[Tensor]:
        return self.parameters + self.buffers


def _tensors(*modules: nn.Module) -> _State:
    return _State(
        [p.data for module in modules for p in module.parameters()],
        [b for module in modules for b in module.buffers()],
    )
