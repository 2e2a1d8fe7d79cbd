"""Parts of mmdet's detectors that mmdet has not. There only where mmdet is."""

from __future__ import annotations

from mmcv.cnn import build_norm_layer
from mmdet.models.backbones import ResNet
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch import Tensor

from mmlogo.registry import MODELS


@MODELS.register_module()
class Res5WithNorm(ResLayer):
    """A C4 detector's head of every box: the last stage of a ResNet, and a norm.

    Nothing in front of the box and mask branches normalises what a stage without frozen
    BatchNorm gives them, so MoCo adds one layer (He et al., CVPR 2020, appendix on
    detection). It starts as BatchNorm does; no pretraining has it.

    Args:
        depth: Of the ResNet.
        stage: Which of its stages, from 0.
        norm_cfg: Of the stage and of the layer after it.
        norm_eval: Keep BatchNorm's statistics while weights learn; mmdet's `ResLayer`
            leaves SyncBN alone.
        kwargs: As mmdet's `ResLayer` has them.

    (N, C, H, W), boxes of the stage before, to (N, C', H / stride, W / stride).
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
