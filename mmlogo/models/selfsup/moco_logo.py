"""MoCo-LoGo: LoGo on MoCo's momentum encoder and queue."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.norms import running_statistics
from mmlogo.models.parts.pairs import GlobalLocal, roles_of
from mmlogo.models.parts.queue import Queue
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import keys_of


@MODELS.register_module()
class MoCoLoGo(BaseSelfSupervisor):
    """LoGo (arXiv 2203.17205) with the contrastive similarity, equation 1.

    Targets are the teacher's keys of the global views; all of them are enqueued,
    local views never.

    NOTE: the authors' release takes three optimiser steps a batch and updates
    its teacher twice; this takes one (see `LoGoHead`).

    Args:
        backbone, neck, head: Configs of the encoder, its projector, a `LoGoHead`
            with an `InfoNCEPull`.
        queue: Arguments of `Queue`: length K and dim D.
        teacher: Arguments of `Teacher`: its momentum, m.
        num_globals, local_statistics: As in `SimSiamLoGo`.
        data_preprocessor, pretrained, init_cfg: As in mmpretrain.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        head: dict,
        queue: dict,
        teacher: dict,
        num_globals: int | None = None,
        local_statistics: bool = True,
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
        self.num_globals, num_locals = roles_of(self.data_preprocessor, num_globals)
        if num_locals == 0:
            self.head.affinity = None  # nothing to push apart
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
        keys = keys_of(data_samples, views.global_views[0])
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        k_global = [  # G x (N, D), unit norm, no gradient
            self.head.pull.query(shuffled(self.teacher, x, keys, view)[0])
            for view, x in enumerate(views.global_views)
        ]
        # Locals first: running statistics lean to what was seen last.
        with running_statistics(self.backbone, self.neck, follow=self.local_statistics):
            z_local = [self.embed(x) for x in views.local_views]  # M x (N, D)
        z_global = [self.embed(x) for x in views.global_views]  # G x (N, D)
        losses = self.head.loss(
            z_global, z_local, k_global, keys, negatives=self.queue.negatives()
        )
        self.queue.enqueue(torch.cat(k_global))
        return losses
