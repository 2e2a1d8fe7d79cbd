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
from mmlogo.views.seeds import seeds_of


@MODELS.register_module()
class LEWELM(BaseSelfSupervisor):
    """LEWEL (arXiv 2203.14898) with MoCo v2's queue: a reconstruction.

    The authors released no code, weights or recipe of it.

    Args:
        teacher: Arguments of `Teacher`, such as its momentum m.
        queue: Arguments of `AlignedQueues`; its dims are twice the neck's D.
        enqueue: What an image leaves in the second queue: 'random', the default, leaves
            one of its aligned vectors; 'mean' leaves the direction of their mean.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone`, of
            `neck`, a `CoupledNeck`, of `head`, an `AlignedContrastHead`, and of
            `data_preprocessor`.
    """

    def __init__(
        self, *, teacher: dict, queue: dict, enqueue: str = 'random', **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)
        self.queues = AlignedQueues(**queue)
        self.representative = Representative(enqueue)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        x_q, x_k = pair_of(inputs)
        seeds = seeds_of(data_samples, x_q)
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        query = self.head.prepare(self.neck(self.backbone(x_q)))  # z (N, D), u (N, D, K)
        key = self.head.prepare(shuffled(self.teacher, x_k, seeds, 1))
        losses = self.head.loss(query, key, self.queues.negatives())
        self.queues.enqueue(key[0], self.representative(key[1], seeds))
        return losses
