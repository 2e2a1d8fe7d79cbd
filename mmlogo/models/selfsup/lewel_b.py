"""LEWEL_B: learning where to learn, on BYOL."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS


@MODELS.register_module()
class LEWELB(BaseSelfSupervisor):
    """LEWEL (arXiv 2203.14898) with BYOL's predicted teacher.

    Args:
        backbone, neck, head: Configs of the encoder, a `CoupledNeck`, an
            `AlignedPredictHead`.
        teacher: Arguments of `Teacher`: EMAN is statistics='averaged' with
            momentum 0.98, SyncBN statistics='own' with 0.996.
        data_preprocessor, pretrained, init_cfg: As in mmpretrain.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        head: dict,
        teacher: dict,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            head=head,
            data_preprocessor=data_preprocessor,
            pretrained=pretrained,
            init_cfg=init_cfg,
        )
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        # One forward per view: BatchNorm's batch is that of a view.
        predicted = [self.head.predict(self.neck(self.backbone(x))) for x in inputs]
        targets = [self.teacher(x) for x in inputs]  # (z, u), no gradient
        pairs = [
            self.head.loss(predicted[v], targets[w])
            for v, w in itertools.permutations(range(len(inputs)), 2)
        ]
        return {
            name: torch.stack([pair[name] for pair in pairs]).sum() for name in pairs[0]
        }
