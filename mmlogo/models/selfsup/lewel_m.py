"""LEWEL_M, a reconstruction: learning where to learn, on MoCo v2."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import pair_of
from mmlogo.models.parts.queue import AlignedQueues
from mmlogo.models.parts.representative import Representative
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import keys_of


@MODELS.register_module()
class LEWELM(BaseSelfSupervisor):
    """LEWEL (arXiv 2203.14898) with MoCo v2's queue: a reconstruction.

    The authors released no code, weights or recipe of it.

    Args:
        backbone, neck, head: Configs of the encoder, a `CoupledNeck`, an
            `AlignedContrastHead`.
        teacher: Arguments of `Teacher`.
        queue: Arguments of `AlignedQueues`; dims are twice the neck's D.
        enqueue: What an image leaves in the second queue: 'random', one of its
            aligned vectors; 'mean', the direction of their mean.
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
        enqueue: str = 'random',
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
        self.representative = Representative(enqueue)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        x_q, x_k = pair_of(inputs)
        keys = keys_of(data_samples, x_q)
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        query = self.head.unit(self.neck(self.backbone(x_q)))  # z (N, D), u (N, D, K)
        key = self.head.unit(shuffled(self.teacher, x_k, keys, 1))
        losses = self.head.loss(query, key, self.queues.negatives())
        self.queues.enqueue(key[0], self.representative(key[1], keys))
        return losses
