"""A hook that shows a training's progress on the terminal."""

from __future__ import annotations

import sys

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import Progress, TaskID

from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ProgressHook(Hook):
    """Show a progress bar. Without a terminal, print a line at every tenth of the run."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def before_train(self, runner) -> None:
        if is_main_process() and sys.stderr.isatty():
            self._bar = Progress(console=Console(stderr=True))
            self._task = self._bar.add_task('training', total=runner.max_iters)
            self._bar.start()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        done, total = runner.iter + 1, runner.max_iters
        speed = runner.message_hub.get_scalar('train/images_per_s').current()
        text = f'epoch {runner.epoch + 1}/{runner.max_epochs}, {speed:.0f} images/s'
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=text)
        elif is_main_process() and done * 10 // total > (done - 1) * 10 // total:
            print(f'{100 * done // total:3d} % ({text})', file=sys.stderr, flush=True)

    def after_train(self, runner) -> None:
        if self._bar is not None:
            self._bar.stop()
