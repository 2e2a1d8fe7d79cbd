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
from mmlogo.views.seeds import seeds_of


@MODELS.register_module()
class MoCo(BaseSelfSupervisor):
    """MoCo (arXiv 1911.05722, 2003.04297), with shuffled BN on any process count.

    Unlike mmpretrain's MoCo it shuffles keys among the splits of one process
    too (`SplitBN`), has the symmetric loss, and waits for no GPU in a step.

    Args:
        queue: Arguments of `Queue`: its length K and its dim D.
        teacher: Arguments of `Teacher`, such as its momentum m.
        symmetric: With True, each view is query and key once, the two losses are summed
            and both key sets are enqueued. Default: False.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone`, of
            `neck`, the projector, of `head`, a `ContrastHead`, and of
            `data_preprocessor`.
    """

    def __init__(
        self, *, queue: dict, teacher: dict, symmetric: bool = False, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = Teacher(backbone=self.backbone, neck=self.neck, **teacher)
        self.queue = Queue(**queue)
        self.directions = ((0, 1), (1, 0)) if symmetric else ((0, 1),)

    def embed(self, x: Tensor) -> Tensor:
        """Z = projector(backbone(x)): (N, 3, S, S) to (N, D)."""
        return self.neck(self.backbone(x))[0]

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        seeds = seeds_of(data_samples, inputs[0])
        self.teacher.follow(backbone=self.backbone, neck=self.neck)
        negatives = self.queue.negatives()  # (K, D), none of this batch
        terms, keys = [], []
        for query_view, key_view in self.directions:
            q = self.head.prepare(self.embed(inputs[query_view]))  # (N, D)
            (k,) = shuffled(self.teacher, inputs[key_view], seeds, key_view)
            k = self.head.prepare(k)  # (N, D), no gradient
            terms.append(self.head.loss(q, k, negatives)['loss'])
            keys.append(k)
        self.queue.enqueue(torch.cat(keys))
        return dict(loss=torch.stack(terms).sum())
