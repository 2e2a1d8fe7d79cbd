"""A hook that loads pretrained weights into the backbone when training starts."""

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

    The hook warns of settings that spoil fine-tuning (`doubts_about`). It loads when
    training starts, because the Runner initialises the weights just before. A resumed run
    has weights of its own, so nothing is loaded. Every process reads the file. The file
    `pretrained.json` in the work dir lists all names, matched or not.

    Args:
        checkpoint: Path of the checkpoint, which `tools/train.py --pretrained` sets.
            Default: None, which is an error when training starts.
        allow_partial: With True, tensors of the backbone may be missing in the
            checkpoint. Default: False.
        prefix: Load the network whose names begin with this. Default: None, which finds
            it.

    Raises:
        ValueError: When training starts, if there is no checkpoint or no backbone.
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
        model.train()  # the loop does this next, and `learning_of` needs it
        names = Path(runner.work_dir) / FILE
        if is_main_process():
            report.write(names)
        runner.logger.info(
            f'Pretrained backbone from {report}; {learning_of(trunk)}; names: {names}'
        )
        for doubt in doubts_about(model, report.config):
            runner.logger.warning(doubt)
