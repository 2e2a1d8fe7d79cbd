"""CGH: cross-context learning between global and hypercolumn features."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import pair_of
from mmlogo.models.parts.queue import AlignedQueues
from mmlogo.models.parts.schedule import Ramp
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import keys_of


@MODELS.register_module()
class CGH(BaseSelfSupervisor):
    """CGH (arXiv 2308.13392).

    Views: the strong one, which is the query; the weak one, the key; and any
    number of small crops, queries too.

    Args:
        backbone, neck, head: Configs of the encoder with its last two stages out,
            a `HypercolumnNeck`, a `RelationHead`.
        teacher: Arguments of `Teacher`.
        queue: Arguments of `AlignedQueues`; dims are twice the neck's D.
        ramp_epochs: Until InfoNCE has given way to the relations.
        data_preprocessor, pretrained, init_cfg: As in mmpretrain.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        head: dict,
        teacher: dict,
        queue: dict,
        ramp_epochs: int = 5,
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
        self.queues = AlignedQueues(**queue)
        self.ramp = Ramp(epochs=ramp_epochs)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        strong, weak = pair_of(inputs[:2])
        keys = keys_of(data_samples, strong)
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        query = self.head.unit(self.neck(self.backbone(strong)))  # 2 x (N, D)
        key = self.head.unit(shuffled(self.teacher, weak, keys, 1))
        crops = [self.neck.embed_global(self.backbone(x)[-1]) for x in inputs[2:]]
        losses = self.head.loss(
            query, key, self.queues.negatives(), self.ramp.advance(), crops
        )
        self.queues.enqueue(*key)
        return losses
