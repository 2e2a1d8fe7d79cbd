"""Parts of detectors that mmdet does not have. They need mmdet."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer
from mmdet.models.backbones import ResNet
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch import Tensor

from mmlogo.registry import MODELS


@MODELS.register_module()
class Res5WithNorm(ResLayer):
    """The shared head of a C4 detector: the last stage of a ResNet, and a norm.

    If the stage's BatchNorm is not frozen, nothing normalises its output for the box and
    mask branches. So MoCo adds one norm layer (He et al., CVPR 2020, appendix on
    detection). Its weights are not pretrained. They start as BatchNorm's do.

    It maps features of boxes (N, C, H, W) to (N, C', H / stride, W / stride).

    Args:
        depth: Depth of the ResNet, such as 50.
        stage: Number of the ResNet's stage, from 0. Default: 3, the last.
        norm_cfg: Config of the norms in the stage and of the added one.
        norm_eval: With True, BatchNorm in the stage uses fixed running statistics in
            training. mmdet's `ResLayer` does not do so for SyncBN. Default: False.
        kwargs: Other arguments of mmdet's `ResLayer`.
    """

    def __init__(
        self,
        *,
        depth: int,
        stage: int = 3,
        norm_cfg: dict,
        norm_eval: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(
            depth=depth, stage=stage, norm_cfg=norm_cfg, norm_eval=norm_eval, **kwargs
        )
        block, _ = ResNet.arch_settings[depth]
        _, self.norm = build_norm_layer(norm_cfg, 64 * 2**stage * block.expansion)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))
