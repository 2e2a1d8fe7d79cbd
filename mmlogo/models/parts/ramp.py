"""A weight that grows over the first epochs."""

from __future__ import annotations

from mmlogo.models.parts.clock import Clocked


class Ramp(Clocked):
    """A weight that grows from 0 to 1 over the first epochs, a little with every step.

    Args:
        epochs: The weight is 1 from here on. With 0 it is 1 from the start.

    Raises:
        ValueError: If `epochs` is negative.
    """

    def __init__(self, *, epochs: int) -> None:
        super().__init__()
        if epochs < 0:
            raise ValueError(f'a ramp over {epochs} epochs: there must be 0 or more')
        self.epochs = epochs

    def value(self) -> float:
        """Return the weight of this step, in [0, 1]."""
        if self.epochs == 0:
            return 1.0
        length = self.epochs * self.clock.steps_per_epoch
        return min(1.0, self.clock.iteration / length)
