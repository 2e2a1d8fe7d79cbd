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
        teacher: Arguments of `Teacher`. EMAN is statistics='averaged' with momentum
            0.98; the form with SyncBN is statistics='own' with 0.996.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone`, of
            `neck`, a `CoupledNeck`, of `head`, an `AlignedPredictHead`, and of
            `data_preprocessor`.
    """

    def __init__(self, *, teacher: dict, **kwargs) -> None:
        super().__init__(**kwargs)
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        x1, x2 = pair_of(inputs)
        # One forward per view: BatchNorm's batch is that of a view.
        p1, p2 = (self.head.prepare(self.neck(self.backbone(x))) for x in (x1, x2))
        t1, t2 = self.teacher(x1), self.teacher(x2)  # (z, u) each, no gradient
        there, back = self.head.loss(p1, t2), self.head.loss(p2, t1)
        return {name: there[name] + back[name] for name in there}
