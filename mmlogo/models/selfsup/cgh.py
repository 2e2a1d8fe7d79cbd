"""CGH: cross-context learning between global and hypercolumn features."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import pair_of
from mmlogo.models.parts.queue import AlignedQueues
from mmlogo.models.parts.ramp import Ramp
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import seeds_of


@MODELS.register_module()
class CGH(BaseSelfSupervisor):
    """CGH (arXiv 2308.13392).

    The strong view is the query, the weak view the key. Any number of small crops are
    queries too.

    Args:
        teacher: Arguments of `Teacher`, such as its momentum m.
        queue: Arguments of `AlignedQueues`; its dims are twice the neck's D.
        ramp_epochs: After so many epochs InfoNCE has given way to the relations.
            Default: 5.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone` with
            its last two stages out, of `neck`, a `HypercolumnNeck`, of `head`, a
            `RelationHead`, and of `data_preprocessor`.
    """

    def __init__(
        self, *, teacher: dict, queue: dict, ramp_epochs: int = 5, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)
        self.queues = AlignedQueues(**queue)
        self.ramp = Ramp(epochs=ramp_epochs)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        strong, weak = pair_of(inputs[:2])
        seeds = seeds_of(data_samples, strong)
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        query = self.head.prepare(self.neck(self.backbone(strong)))  # 2 x (N, D)
        key = self.head.prepare(shuffled(self.teacher, weak, seeds, 1))
        crops = [self.neck.embed_global(self.backbone(x)[-1]) for x in inputs[2:]]
        losses = self.head.loss(
            query, key, self.queues.negatives(), self.ramp.value(), crops
        )
        self.queues.enqueue(*key)
        return losses
