"""LEWEL_B: learning where to learn, on BYOL."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import pair_of
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
        x1, x2 = pair_of(inputs)
        # One forward per view: BatchNorm's batch is that of a view.
        p1, p2 = (self.head.predict(self.neck(self.backbone(x))) for x in (x1, x2))
        t1, t2 = self.teacher(x1), self.teacher(x2)  # (z, u) each, no gradient
        there, back = self.head.loss(p1, t2), self.head.loss(p2, t1)
        return {name: there[name] + back[name] for name in there}
