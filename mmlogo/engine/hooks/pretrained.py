"""Pretrained weights for a model's backbone when training starts."""

from __future__ import annotations

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from mmlogo.checkpoints.match import load_pretrained
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS
from mmlogo.transfer.trunk import doubts_about, learning_of, trunk_of

FILE = 'pretrained.json'


@HOOKS.register_module()
class PretrainedHook(Hook):
    """Load a model's `trunk_of` from a checkpoint of any origin, and log what matched.

    Of settings that spoil fine-tuning (`doubts_about`) it warns. This is done when
    training starts, for only then has the Runner drawn the initial weights; not where a
    run is resumed, which has weights of its own. Every process reads the file. All names,
    matched ones too, are in `pretrained.json` in the work dir.

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
        trunk = trunk_of(model)
        report = load_pretrained(
            trunk,
            self.checkpoint,
            allow_partial=self.allow_partial,
            prefix=self.prefix,
        )
        model.train()  # as the loop is about to do
        names = Path(runner.work_dir) / FILE
        if is_main_process():
            report.write(names)
        runner.logger.info(
            f'Pretrained backbone from {report}; {learning_of(trunk)}; names: {names}'
        )
        for doubt in doubts_about(model, report.config):
            runner.logger.warning(doubt)
