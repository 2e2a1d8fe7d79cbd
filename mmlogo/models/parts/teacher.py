"""A momentum encoder."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmlogo.models.parts.counter import Counter
from mmlogo.models.parts.gather import process_mean
from mmlogo.models.parts.schedule import Paced

SCHEDULES = ('constant', 'cosine')
STATISTICS = ('own', 'averaged')


class Teacher(Paced):
    """A slow copy of the student: theta_k <- m theta_k + (1 - m) theta_q.

    MoCo, arXiv 1911.05722, equation 2.

    Args:
        backbone, neck: The student's; copied.
        momentum: m of the paper, the weight of the *old* parameters, in [0, 1];
            where it is scheduled, m_0 of the first update.
        schedule: 'constant'; or 'cosine', BYOL's (arXiv 2006.07733, section 3.3):
            m_t = 1 - (1 - m_0) (cos(pi t / T) + 1) / 2, per update.
        statistics: Of its BatchNorm. 'own': its batch's in training, and running
            ones of its own. 'averaged': the student's running statistics, averaged
            as the parameters are and used in training too (EMAN, arXiv
            2101.08482).

    NOTE: `follow` makes the update after an optimiser step when the next key is asked
    for, so a checkpoint's teacher has all updates but that of its last step.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        momentum: float,
        schedule: str = 'constant',
        statistics: str = 'own',
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(
                f'momentum={momentum}, but it is the weight of the old parameters, in '
                '[0, 1] (0.99 or 0.999 are usual; MMEngine writes 1 - m)'
            )
        for name, value, allowed in (
            ('schedule', schedule, SCHEDULES),
            ('statistics', statistics, STATISTICS),
        ):
            if value not in allowed:
                raise ValueError(
                    f'teacher.{name}={value!r}, but it must be one of {allowed}'
                )
        self.backbone = copy.deepcopy(backbone).requires_grad_(False)
        self.neck = copy.deepcopy(neck).requires_grad_(False)
        self.base_momentum, self.schedule = momentum, schedule
        self.statistics = statistics
        self.updates = Counter()
        self._seen: int | None = None
        self._is_even = False
        self.train()

    def restart(self) -> None:
        """Keep the weights, begin the schedule anew."""
        self.updates.set(min(1, self.updates.value))
        self._is_even = True

    def resume_midway(self) -> None:
        self._is_even = True

    def train(self, mode: bool = True) -> Teacher:
        super().train(mode)
        if self.statistics == 'averaged':
            self.backbone.eval()
            self.neck.eval()
        return self

    @property
    def momentum(self) -> float:
        """m_t of the update to come."""
        if self.schedule == 'constant':
            return self.base_momentum
        # The first count is the copy of the initial weights; update t = 0 follows it.
        progress = min(1.0, max(0, self.updates.value - 1) / self.length.updates)
        return 1 - (1 - self.base_momentum) * (math.cos(math.pi * progress) + 1) / 2

    @torch.no_grad()
    def follow(self, *, backbone: nn.Module, neck: nn.Module) -> None:
        """One step towards the student, once per optimiser step.

        Called before every key forward, where it is the update after the step
        before. The micro-batches of an accumulated gradient see one and the same
        student, and move the teacher once.
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
        elif not self.training:
            return
        elif self._is_even:  # with a student that took no step since
            self._is_even = False
            self._seen = version
            return
        elif moved:
            weight = 1 - self.momentum
            torch._foreach_lerp_(old.parameters, new.parameters, weight)
            if self.statistics == 'averaged':
                self.follow_statistics(old.buffers, new.buffers, weight)
        else:
            return
        self._seen = version
        self._is_even = False
        self.updates.set(self.updates.value + 1)

    def follow_statistics(
        self, old: list[Tensor], new: list[Tensor], weight: float
    ) -> None:
        """Average running statistics; where each process has its own, their mean."""
        pairs = list(zip(old, new, strict=True))
        running = [pair for pair in pairs if pair[0].is_floating_point()]
        for mine, theirs in pairs:
            if not mine.is_floating_point():  # num_batches_tracked
                mine.copy_(theirs)
        if running:
            mean = process_mean([theirs for _, theirs in running])
            torch._foreach_lerp_([mine for mine, _ in running], mean, weight)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, 'N 3 H W']) -> tuple[Tensor, ...]:
        """(N, 3, S, S) to what the neck gives, such as ((N, D),); no gradient."""
        return self.neck(self.backbone(x))


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
