"""Pretrained weights for a model's backbone when training starts."""

from __future__ import annotations

from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.pretrained import load_pretrained
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class PretrainedHook(Hook):
    """Load `model.backbone` from a checkpoint of any origin, and log what matched.

    When training starts, for only then has the Runner drawn the initial weights; not
    where a run is resumed, which has weights of its own. Every process reads the file.

    Args:
        checkpoint: Its path; what `tools/train.py --pretrained` sets.
        allow_partial, prefix: As in `load_pretrained`.

    Raises:
        ValueError: If there is no checkpoint or no backbone.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        allow_partial: bool = False,
        prefix: str | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.allow_partial, self.prefix = allow_partial, prefix

    def before_train(self, runner) -> None:
        if runner.iter > 0:
            runner.logger.info('Resumed: pretrained weights are not loaded again')
            return
        if self.checkpoint is None:
            raise ValueError(
                'this config trains on a pretrained backbone and was given none; pass '
                '--pretrained CKPT, or, to see what random weights give, '
                '--cfg-options default_hooks.pretrained=None'
            )
        model = unwrapped(runner.model)
        if not hasattr(model, 'backbone'):
            raise ValueError(
                f'{type(model).__name__} has no backbone that {self.checkpoint} could be '
                'loaded into; use load_from for a whole model'
            )
        report = load_pretrained(
            model.backbone,
            self.checkpoint,
            allow_partial=self.allow_partial,
            prefix=self.prefix,
        )
        runner.logger.info(f'Pretrained backbone from {report}')
