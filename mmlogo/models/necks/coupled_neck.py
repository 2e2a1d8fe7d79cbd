"""LEWEL's neck: the projection decides which pixels are pooled."""

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

    LEWEL, arXiv 2203.14898. The projector g maps 1 + P positions: the pooled vector and
    the P pixels of the backbone's map. A softmax over the pixels turns g's outputs there
    into D alignment maps. The channels form G groups. The D / G maps of a group pool its
    channels. This gives K = D / G aligned vectors, which a second projector g' embeds.

    Args:
        in_channels: Channels C of the backbone's map.
        hid_channels: Hidden width of both projectors.
        out_channels: Output width D of both projectors.
        norm_cfg: Config of both projectors' norm. None leaves norms out.
        num_groups: Number G of groups. It must divide C and D. Default: 4.
        scale: Temperature of the softmax, > 0. Default: 1.
        init_cfg: Initialisation of both projectors. Default: None, which takes
            `TokenMLP`'s.

    Raises:
        ValueError: If `num_groups` does not divide C and D, or if `scale` is not positive.
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
        """Turn the backbone's last map to z (N, D), global, and u (N, D, K), aligned."""
        pixels = x[-1].flatten(2)  # (N, C, P)
        tokens = self.project(pixels)
        maps = self.alignment(tokens[..., 1:])
        return tokens[..., 0], self.aligned_projector(self.align(pixels, maps))

    def maps(self, x: Sequence[Float[Tensor, 'N C H W']]) -> Float[Tensor, 'N D H W']:
        """Return the D alignment maps (N, D, H, W) for the backbone's last map."""
        tokens = self.project(x[-1].flatten(2))
        return self.alignment(tokens[..., 1:]).unflatten(2, x[-1].shape[2:])

    def project(self, pixels: Float[Tensor, 'N C P']) -> Float[Tensor, 'N D 1+P']:
        """Apply the projector g to the pooled vector and to every pixel, in this order."""
        pooled = pixels.mean(dim=2, keepdim=True)
        return self.projector(torch.cat((pooled, pixels), dim=2))

    def alignment(self, tokens: Float[Tensor, 'N D P']) -> Float[Tensor, 'N D P']:
        """Return D maps over the P pixels. Each sums to 1."""
        unit = F.normalize(at_least_float32(tokens), dim=1)  # over all D, not per group
        return (unit / self.scale).softmax(dim=2)

    def align(
        self, pixels: Float[Tensor, 'N C P'], maps: Float[Tensor, 'N D P']
    ) -> Float[Tensor, 'N C K']:
        """Pool every group of channels by its own K maps.

        Aligned vector k consists of the channels that each group's map k has pooled.
        """
        grouped = pixels.unflatten(1, (self.num_groups, -1))  # (N, G, C / G, P)
        weights = maps.to(pixels.dtype).unflatten(1, (self.num_groups, -1))  # (N, G, K, P)
        return (grouped @ weights.transpose(2, 3)).flatten(1, 2)
