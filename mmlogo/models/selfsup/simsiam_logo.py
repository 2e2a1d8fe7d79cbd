"""SimSiam-LoGo: LoGo on SimSiam's siamese network."""

from __future__ import annotations

from collections.abc import Sequence

from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor

from mmlogo.models.parts.norms import running_statistics
from mmlogo.models.parts.pairs import GlobalLocal, roles_of
from mmlogo.registry import MODELS
from mmlogo.views.seeds import keys_of


@MODELS.register_module()
class SimSiamLoGo(BaseSelfSupervisor):
    """LoGo (arXiv 2203.17205) with the non-contrastive similarity, equation 2.

    Args:
        backbone, neck, head: Configs of the encoder, its projector, a `LoGoHead`.
        num_globals: Inputs, from the first, that are global. None asks the data
            preprocessor; mmpretrain's does not know.
        local_statistics: Let BatchNorm's running statistics, which evaluation
            and export use, follow local views too.
        data_preprocessor, pretrained, init_cfg: As in mmpretrain.
    """

    def __init__(
        self,
        *,
        backbone: dict,
        neck: dict,
        head: dict,
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

    def embed(self, x: Tensor) -> Tensor:
        """Z = projector(backbone(x)): (N, 3, S, S) to (N, D)."""
        return self.neck(self.backbone(x))[0]

    def loss(
        self, inputs: Sequence[Tensor], data_samples: object = None, **kwargs
    ) -> dict[str, Tensor]:
        views = GlobalLocal.split(inputs, self.num_globals)
        keys = keys_of(data_samples, views.global_views[0])
        # Locals first: running statistics lean to what was seen last.
        with running_statistics(self.backbone, self.neck, follow=self.local_statistics):
            z_local = [self.embed(x) for x in views.local_views]  # M x (N, D)
        z_global = [self.embed(x) for x in views.global_views]  # G x (N, D)
        return self.head.loss(z_global, z_local, z_global, keys)
