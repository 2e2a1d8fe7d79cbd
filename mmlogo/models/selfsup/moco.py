"""MoCo, as FAIR's code and CIFAR-10 demo have it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.queue import Queue
from mmlogo.models.parts.shuffle import shuffled
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS
from mmlogo.views.seeds import keys_of


@MODELS.register_module()
class MoCo(BaseSelfSupervisor):
    """MoCo (arXiv 1911.05722, 2003.04297), with shuffled BN on any process count.

    Unlike mmpretrain's MoCo it shuffles keys among the splits of one process
    too (`SplitBN`), has the symmetric loss, and waits for no GPU in a step.

    Args:
        backbone, neck, head: Configs of the encoder, its projector, an
            `InfoNCEPull`.
        queue: Arguments of `Queue`: length K and dim D.
        teacher: Arguments of `Teacher`: its momentum, m.
        symmetric: Each view is query and key once; the two losses are summed and
            both key sets enqueued.
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
        symmetric: bool = False,
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
        self.queue = Queue(**queue)
        self.directions = ((0, 1), (1, 0)) if symmetric else ((0, 1),)

    def embed(self, x: Tensor) -> Tensor:
        """Z = projector(backbone(x)): (N, 3, S, S) to (N, D)."""
        return self.neck(self.backbone(x))[0]

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        keys = keys_of(data_samples, inputs[0])
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        negatives = self.queue.negatives()  # (K, D), none of this batch
        terms, new = [], []
        for query_view, key_view in self.directions:
            q = self.head.query(self.embed(inputs[query_view]))  # (N, D)
            (k,) = shuffled(self.teacher, inputs[key_view], keys, key_view)
            k = self.head.query(k)  # (N, D), no gradient
            terms.append(self.head(q, k, negatives))
            new.append(k)
        self.queue.enqueue(torch.cat(new))
        return dict(loss=torch.stack(terms).sum())
