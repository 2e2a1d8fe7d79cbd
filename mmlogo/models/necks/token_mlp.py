"""A projector that maps every position separately."""

from __future__ import annotations

from jaxtyping import Float
from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlogo.registry import MODELS


@MODELS.register_module()
class TokenMLP(BaseModule):
    """1x1 convolution, BN, ReLU, 1x1 convolution, all without bias.

    LEWEL's projectors and predictors are such MLPs in the authors' release. BatchNorm
    normalises over all positions of all images.

    Args:
        in_channels: Input width C.
        hid_channels: Hidden width.
        out_channels: Output width D.
        norm_cfg: Config of the norm. None leaves it out.
        init_cfg: Initialisation, as in MMEngine. Default: None, which is the release's:
            Kaiming normal, fan-out. Its weights are large. SGD, unlike LARS, then changes
            the predictor slowly.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        norm_cfg: dict | None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type='Kaiming', layer='Conv2d', mode='fan_out'))
        layers: list[nn.Module] = [nn.Conv2d(in_channels, hid_channels, 1, bias=False)]
        if norm_cfg is not None:
            layers.append(build_norm_layer(norm_cfg, hid_channels)[1])
        layers += [
            nn.ReLU(inplace=True),
            nn.Conv2d(hid_channels, out_channels, 1, bias=False),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Float[Tensor, 'N C L']) -> Float[Tensor, 'N D L']:
        """Map (N, C, L), with L positions, to (N, D, L)."""
        return self.layers(x[..., None])[..., 0]
