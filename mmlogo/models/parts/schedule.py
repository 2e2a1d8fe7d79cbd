"""Values that change while training runs, exact after a resume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import nn

from mmlogo.models.parts.counter import Counter


class TrainingLength(NamedTuple):
    """How long a training is."""

    updates: int  # optimiser steps, T
    steps_per_epoch: int  # forward passes in training, accumulated ones too


class Paced(nn.Module, ABC):
    """A part whose values depend on how long the training is, and how far.

    `ShareLengthHook` tells it before the first step.
    """

    _length: TrainingLength | None = None

    def expect(self, length: TrainingLength) -> None:
        self._length = length

    @abstractmethod
    def restart(self) -> None:
        """A new training begins, from weights that an earlier one may have left."""

    def resume_midway(self) -> None:
        """A training goes on between two batches of one optimiser step."""

    @property
    def length(self) -> TrainingLength:
        """Raise ValueError if nobody told it."""
        if self._length is None:
            raise ValueError(
                f'{type(self).__name__} does not know how long the training is; train '
                "with default_hooks.length = dict(type='ShareLengthHook'), or call its "
                '`expect(TrainingLength(updates, steps_per_epoch))`'
            )
        return self._length


class Ramp(Paced):
    """From 0 to 1 over the first epochs, a little more with every step.

    Args:
        epochs: Until 1 is reached; 0 is 1 from the start.
    """

    def __init__(self, *, epochs: int) -> None:
        super().__init__()
        if epochs < 0:
            raise ValueError(f'a ramp over {epochs} epochs: there must be 0 or more')
        self.epochs = epochs
        self.steps = Counter()

    def restart(self) -> None:
        self.steps.set(0)

    def advance(self) -> float:
        """Value of this step, in [0, 1]; the next one is the next step's."""
        step = self.steps.value
        self.steps.set(step + 1)
        if self.epochs == 0:
            return 1.0
        return min(1.0, step / (self.epochs * self.length.steps_per_epoch))
