"""MoCo-LoGo: LoGo on MoCo's momentum encoder and queue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import GlobalLocal, num_globals_of
from mmlogo.models.parts.queue import Queue
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.statistics import frozen_statistics
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import seeds_of


@MODELS.register_module()
class MoCoLoGo(BaseSelfSupervisor):
    """LoGo (arXiv 2203.17205) with the contrastive similarity, equation 1.

    The targets are the teacher's keys of the global views. All of them are enqueued, local
    views never.

    NOTE: the authors' release takes three optimiser steps a batch and updates
    its teacher twice. This takes one step (see `LoGoHead`).

    Args:
        queue: Arguments of `Queue`: its length K and its dim D.
        teacher: Arguments of `Teacher`, such as its momentum m.
        num_globals: How many of the inputs, from the first, are global views. Default:
            None, which asks the data preprocessor. mmpretrain's does not know.
        local_statistics: With True, the default, local views update BatchNorm's running
            statistics too, which evaluation and export use.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone`, of
            `neck`, the projector, of `head`, a `LoGoHead` with an `InfoNCEPull`, and of
            `data_preprocessor`.
    """

    def __init__(
        self,
        *,
        queue: dict,
        teacher: dict,
        num_globals: int | None = None,
        local_statistics: bool = True,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.num_globals = num_globals_of(self.data_preprocessor, num_globals)
        self.local_statistics = local_statistics
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)
        self.queue = Queue(**queue)

    def embed(self, x: Tensor) -> Tensor:
        """Z = projector(backbone(x)): (N, 3, S, S) to (N, D)."""
        return self.neck(self.backbone(x))[0]

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        views = GlobalLocal.split(inputs, self.num_globals)
        seeds = seeds_of(data_samples, views.global_views[0])
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        k_global = [  # G x (N, D), unit norm, no gradient
            self.head.prepare(shuffled(self.teacher, x, seeds, view)[0])
            for view, x in enumerate(views.global_views)
        ]
        # Locals first: running statistics lean to what was seen last.
        with frozen_statistics(self.backbone, self.neck, unless=self.local_statistics):
            z_local = [self.embed(x) for x in views.local_views]  # M x (N, D)
        z_global = [self.embed(x) for x in views.global_views]  # G x (N, D)
        negatives = self.queue.negatives()  # (K, D), none of this batch
        losses = self.head.loss(
            z_global, z_local, targets=k_global, seeds=seeds, negatives=negatives
        )
        self.queue.enqueue(torch.cat(k_global))
        return losses
