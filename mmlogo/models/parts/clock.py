"""Where a training stands, for the parts of a model that change with time."""

from __future__ import annotations

from torch import nn


class Clock:
    """Where a training stands. All parts of a model share one.

    Args:
        updates: T, the optimiser steps of the whole training.
        steps_per_epoch: The iterations of an epoch. With accumulated gradients an
            iteration is a forward pass, and several make one optimiser step.
    """

    def __init__(self, *, updates: int, steps_per_epoch: int) -> None:
        self.updates, self.steps_per_epoch = updates, steps_per_epoch
        self.iteration = 0  # the iterations that are done
        self.update = 0  # the optimiser steps that are done

    @property
    def epoch(self) -> float:
        """The epochs that are done, with the share of the one under way."""
        return self.iteration / self.steps_per_epoch

    def tell(self, *, iteration: int, update: int) -> None:
        """Set the clock. `ClockHook` does so before every iteration."""
        self.iteration, self.update = iteration, update


class Clocked(nn.Module):
    """A part whose values depend on where the training stands."""

    _clock: Clock | None = None

    @property
    def clock(self) -> Clock:
        """The clock that `ClockHook` gave to this part.

        Raises:
            ValueError: If it was given none.
        """
        if self._clock is None:
            raise ValueError(
                f'{type(self).__name__} has no clock, so it does not know where the '
                "training stands; train with default_hooks.clock = dict(type='ClockHook'), "
                'or set its `clock` to a Clock(updates=..., steps_per_epoch=...)'
            )
        return self._clock

    @clock.setter
    def clock(self, clock: Clock) -> None:
        self._clock = clock
