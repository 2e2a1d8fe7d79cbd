"""LoGo on a siamese network without a teacher: SimSiam-LoGo and VICReg-LoGo."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.pairs import GlobalLocal, num_globals_of
from mmlogo.models.parts.statistics import frozen_statistics
from mmlogo.registry import MODELS
from mmlogo.views.seeds import seeds_of


@MODELS.register_module(name=['SimSiamLoGo', 'VICRegLoGo'])
class SimSiamLoGo(BaseSelfSupervisor):
    """LoGo (arXiv 2203.17205) whose targets are the embeddings of the global views.

    The pull of its head makes the method. With a `CosinePull`, the non-contrastive
    similarity of equation 2, it is SimSiam-LoGo. With a `VICRegPull` it is VICReg-LoGo
    (VICReg: arXiv 2105.04906), and the same class is registered as `VICRegLoGo`. Without
    local views and affinity it is SimSiam, or VICReg.

    Args:
        num_globals: How many of the inputs, from the first, are global views. Default:
            None, which asks the data preprocessor. mmpretrain's does not know.
        local_statistics: With True, the default, local views update BatchNorm's running
            statistics too, which evaluation and export use.
        kwargs: Arguments of mmpretrain's `BaseSelfSupervisor`: configs of `backbone`, of
            `neck`, the projector, of `head`, a `LoGoHead`, and of `data_preprocessor`.
    """

    def __init__(
        self, *, num_globals: int | None = None, local_statistics: bool = True, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.num_globals = num_globals_of(self.data_preprocessor, num_globals)
        self.local_statistics = local_statistics

    def embed(self, x: Tensor) -> Tensor:
        """Z = projector(backbone(x)): (N, 3, S, S) to (N, D)."""
        return self.neck(self.backbone(x))[0]

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        views = GlobalLocal.split(inputs, self.num_globals)
        seeds = seeds_of(data_samples, views.global_views[0])
        # Locals first: running statistics lean to what was seen last.
        with frozen_statistics(self.backbone, self.neck, unless=self.local_statistics):
            z_local = [self.embed(x) for x in views.local_views]  # M x (N, D)
        z_global = [self.embed(x) for x in views.global_views]  # G x (N, D)
        return self.head.loss(z_global, z_local, targets=z_global, seeds=seeds)


VICRegLoGo = SimSiamLoGo
