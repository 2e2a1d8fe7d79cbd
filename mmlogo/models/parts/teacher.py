"""A momentum encoder."""

from __future__ import annotations

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mmlogo.models.parts.clock import Clocked
from mmlogo.models.parts.gather import process_mean

SCHEDULES = ('constant', 'cosine')
STATISTICS = ('own', 'averaged')


class Teacher(Clocked):
    """A slow copy of the student: theta_k <- m theta_k + (1 - m) theta_q.

    MoCo, arXiv 1911.05722, equation 2.

    The EMA update for optimiser step t runs at the start of step t + 1. A checkpoint
    saved after step t therefore holds the teacher without the update of step t. Resuming
    applies it.

    Args:
        backbone: The student's backbone, which is copied.
        neck: The student's neck, which is copied.
        momentum: The paper's m in [0, 1], the weight of the *old* parameters. If it is
            scheduled, this is m_0 of the first update.
        schedule: 'constant', the default, keeps m. 'cosine' is BYOL's schedule (arXiv
            2006.07733, section 3.3): m_t = 1 - (1 - m_0) (cos(pi t / T) + 1) / 2.
        statistics: Which statistics the teacher's BatchNorm uses. With 'own', the
            default, it uses those of its batch in training and keeps running ones.
            With 'averaged' it uses the average of the student's running statistics, in
            training too (EMAN, arXiv 2101.08482).

    Raises:
        ValueError: If an argument is out of its range.
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
        self.at: int | None = None  # the student's update that the teacher has followed
        self.register_load_state_dict_pre_hook(_read_older)
        self.train()

    def train(self, mode: bool = True) -> Teacher:
        super().train(mode)
        if self.statistics == 'averaged':
            self.backbone.eval()
            self.neck.eval()
        return self

    # Saved with the weights: a run that is resumed between two batches of one optimiser
    # step must not repeat an update, and loaded weights must not be copied over.
    def get_extra_state(self) -> Tensor:
        return torch.tensor(-1 if self.at is None else self.at)

    def set_extra_state(self, state: Tensor) -> None:
        self.at = None if int(state) < 0 else int(state)

    def momentum(self, step: int) -> float:
        """Return m_t, the weight of the old parameters after optimiser step `step`."""
        if self.schedule == 'constant':
            return self.base_momentum
        progress = min(1.0, step / self.clock.updates)
        return 1 - (1 - self.base_momentum) * (math.cos(math.pi * progress) + 1) / 2

    @torch.no_grad()
    def follow(self, *, backbone: nn.Module, neck: nn.Module) -> None:
        """Move towards the student, once per optimiser step. Call it before every key.

        The micro-batches of an accumulated gradient see one and the same student, and
        move the teacher once.

        Args:
            backbone: The student's backbone.
            neck: The student's neck.
        """
        update = self.clock.update
        old = nn.ModuleList((self.backbone, self.neck))
        new = nn.ModuleList((backbone, neck))
        if self.at is None:
            # The copy was made before the weights were initialised or loaded.
            old.load_state_dict(new.state_dict())
        elif not self.training or update == self.at:
            return
        elif update > 0:  # at 0, with loaded weights, the student has taken no step yet
            weight = 1 - self.momentum(update - 1)
            torch._foreach_lerp_([*old.parameters()], [*new.parameters()], weight)
            if self.statistics == 'averaged':
                self.average([*old.buffers()], [*new.buffers()], weight)
        self.at = update

    @staticmethod
    def average(old: list[Tensor], new: list[Tensor], weight: float) -> None:
        """Move running statistics by `weight` towards the mean of all processes'."""
        running = [x for x in old if x.is_floating_point()]
        if running:
            mean = process_mean([x for x in new if x.is_floating_point()])
            torch._foreach_lerp_(running, mean, weight)
        for mine, theirs in zip(old, new, strict=True):
            if not mine.is_floating_point():  # num_batches_tracked
                mine.copy_(theirs)

    @torch.no_grad()
    def forward(self, x: Float[Tensor, 'N 3 H W']) -> tuple[Tensor, ...]:
        """Encode (N, 3, S, S) to what the neck gives, such as ((N, D),), no gradient."""
        return self.neck(self.backbone(x))


def _read_older(module: nn.Module, state_dict: dict, prefix: str, *_: object) -> None:
    """Read checkpoints of before `Clock`, which counted the copy as an update."""
    count = state_dict.pop(f'{prefix}updates.count', None)
    if count is not None:
        state_dict[f'{prefix}_extra_state'] = count - 1
