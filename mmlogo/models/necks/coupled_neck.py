"""LEWEL's neck: the projection decides where to look."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmengine.model import BaseModule
from torch import Tensor

from mmlogo.models.necks.token_mlp import TokenMLP
from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS


@MODELS.register_module()
class CoupledNeck(BaseModule):
    """One projector gives the global embedding and the maps that align the pixels.

    LEWEL, arXiv 2203.14898. The pooled vector and the P pixels of a map pass the
    projector g together, as 1 + P positions. Its outputs at the pixels, softmaxed
    over them, are D alignment maps; each group of D / G maps pools one of G groups
    of channels, into K = D / G aligned vectors, which a second projector g' embeds.

    Args:
        in_channels: C of the backbone's map.
        hid_channels, out_channels: Widths of both projectors; the latter is D.
        num_groups: G; divides both C and D.
        scale: The maps are divided by it before their softmax.
        norm_cfg: Of both projectors; None leaves norms out.
        init_cfg: Of both projectors.

    Raises:
        ValueError: If `num_groups` does not divide C and D.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        norm_cfg: dict | None,
        num_groups: int = 4,
        scale: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if in_channels % num_groups or out_channels % num_groups:
            raise ValueError(
                f'num_groups={num_groups} must divide in_channels={in_channels} and '
                f'out_channels={out_channels}; change one of them'
            )
        if not scale > 0:
            raise ValueError(f'scale={scale}, but the maps are divided by it: > 0')
        self.num_groups, self.scale = num_groups, scale
        self.projector, self.aligned_projector = (
            TokenMLP(
                in_channels=in_channels,
                hid_channels=hid_channels,
                out_channels=out_channels,
                norm_cfg=norm_cfg,
                init_cfg=init_cfg,
            )
            for _ in range(2)
        )

    def forward(
        self, x: Sequence[Float[Tensor, 'N C H W']]
    ) -> tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D K']]:
        """The last map of a backbone to z (N, D) and u (N, D, K)."""
        pixels = x[-1].flatten(2)  # (N, C, P)
        tokens = self.project(pixels)
        maps = self.alignment(tokens[..., 1:])
        return tokens[..., 0], self.aligned_projector(self.align(pixels, maps))

    def maps(self, x: Sequence[Float[Tensor, 'N C H W']]) -> Float[Tensor, 'N D H W']:
        """Where it looks: the D alignment maps of a backbone's last map."""
        tokens = self.project(x[-1].flatten(2))
        return self.alignment(tokens[..., 1:]).unflatten(2, x[-1].shape[2:])

    def project(self, pixels: Float[Tensor, 'N C P']) -> Float[Tensor, 'N D 1+P']:
        """The projector g of the pooled vector, then of every pixel."""
        pooled = pixels.mean(dim=2, keepdim=True)
        return self.projector(torch.cat((pooled, pixels), dim=2))

    def alignment(self, tokens: Float[Tensor, 'N D P']) -> Float[Tensor, 'N D P']:
        """D maps over the P positions, each summing to 1."""
        unit = F.normalize(at_least_float32(tokens), dim=1)  # over all D, not by group
        return (unit / self.scale).softmax(dim=2)

    def align(
        self, pixels: Float[Tensor, 'N C P'], maps: Float[Tensor, 'N D P']
    ) -> Float[Tensor, 'N C K']:
        """Every group of channels pooled by its own K maps; map k of all groups is k."""
        grouped = pixels.unflatten(1, (self.num_groups, -1))  # (N, G, C / G, P)
        weights = maps.to(pixels.dtype).unflatten(1, (self.num_groups, -1))  # (N, G, K, P)
        return (grouped @ weights.transpose(2, 3)).flatten(1, 2)
