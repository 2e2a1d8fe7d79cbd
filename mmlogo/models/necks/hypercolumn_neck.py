"""CGH's neck: embeddings of the last stage, and of the last two stages together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlogo.registry import MODELS


@MODELS.register_module()
class HypercolumnNeck(BaseModule):
    """Compute the global and the hypercolumn embedding of an image.

    CGH, arXiv 2308.13392. For the hypercolumn, the second last stage is resized to the
    last one's grid and concatenated with it. A 1x1 convolution, BN and ReLU mix the
    channels. The last stage and the hypercolumn are averaged over the grid. Each then
    passes its own MLP without BN.

    Args:
        in_channels: Channels of the last two stages. The backbone must give both
            (`out_indices=(2, 3)`).
        mid_channels: Channels of the mixed hypercolumn.
        hid_channels: Hidden width of both MLPs.
        out_channels: Output width D of both MLPs.
        norm_cfg: Config of the norm after the mixing convolution. None leaves it out.
        init_cfg: Initialisation, as in MMEngine. Default: None.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        mid_channels: int,
        hid_channels: int,
        out_channels: int,
        norm_cfg: dict | None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        layers: list[nn.Module] = [nn.Conv2d(sum(in_channels), mid_channels, 1, bias=False)]
        if norm_cfg is not None:
            layers.append(build_norm_layer(norm_cfg, mid_channels)[1])
        self.mix = nn.Sequential(*layers, nn.ReLU(inplace=True))
        self.global_mlp = _mlp(in_channels[-1], hid_channels, out_channels)
        self.hypercolumn_mlp = _mlp(mid_channels, hid_channels, out_channels)

    def forward(
        self, x: Sequence[Float[Tensor, 'N _ _ _']]
    ) -> tuple[Float[Tensor, 'N D'], Float[Tensor, 'N D']]:
        """Turn the last two stages to the global and the hypercolumn embedding, (N, D).

        Raises:
            ValueError: If the backbone gives only one stage.
        """
        if len(x) < 2:
            raise ValueError(
                'hypercolumns need the last two stages and the backbone gave one; set '
                'backbone.out_indices=(2, 3)'
            )
        before, last = x[-2:]
        return self.embed_global(last), self.hypercolumn_mlp(
            _pool(self.stack(before, last))
        )

    def embed_global(self, last: Float[Tensor, 'N C H W']) -> Float[Tensor, 'N D']:
        """Turn the last stage to the global embedding."""
        return self.global_mlp(_pool(last))

    def stack(
        self, before: Float[Tensor, 'N B _ _'], last: Float[Tensor, 'N C H W']
    ) -> Float[Tensor, 'N M H W']:
        """Turn the last two stages to the hypercolumn, with M = mid_channels."""
        resized = F.interpolate(
            before, size=last.shape[2:], mode='bilinear', align_corners=False
        )
        return self.mix(torch.cat((resized, last), dim=1))


def _mlp(in_channels: int, hid_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_channels, hid_channels),
        nn.ReLU(inplace=True),
        nn.Linear(hid_channels, out_channels),
    )


def _pool(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1).flatten(1)
