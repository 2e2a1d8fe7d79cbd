"""An integer that is saved with the model and read without waiting for a GPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Counter(nn.Module):
    """A count, kept as a buffer for the checkpoint and as an int for the step."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('count', torch.zeros((), dtype=torch.int64))
        self._cached: int | None = None

    @property
    def value(self) -> int:
        if self._cached is None:  # first use, or first since a load
            self._cached = int(self.count)
        return self._cached

    def set(self, value: int) -> None:
        self.count.fill_(value)
        self._cached = value

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._cached = None
