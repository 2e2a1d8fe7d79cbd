"""One vector that stands for the aligned vectors of an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from mmlogo.views.seeds import CHOICE_STREAM, uniform

CHOICES = ('random', 'mean')


class Representative(nn.Module):
    """Choose one vector for the K vectors of an image.

    Args:
        choice: 'random' takes one of them, which is a function of the sample's seeds.
            'mean' takes the direction of their mean.

    Raises:
        ValueError: If `choice` is neither.
    """

    def __init__(self, choice: str) -> None:
        super().__init__()
        if choice not in CHOICES:
            raise ValueError(f'enqueue={choice!r}, but it must be one of {CHOICES}')
        self.choice = choice

    @torch.no_grad()
    def forward(
        self, u: Float[Tensor, 'N D K'], seeds: Int64[Tensor, 'N 3']
    ) -> Float[Tensor, 'N D']:
        """Map (N, D, K), unit norm over D, to (N, D), unit norm."""
        if self.choice == 'mean':
            return F.normalize(u.mean(dim=2), dim=1)
        drawn = uniform(seeds, [CHOICE_STREAM], [0])[0, 0, :, 0]  # (N,) in [0, 1)
        chosen = (drawn * u.shape[2]).long().to(u.device)
        return u[torch.arange(len(u), device=u.device), :, chosen]
