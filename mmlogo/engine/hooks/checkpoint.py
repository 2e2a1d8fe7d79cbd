"""A hook that saves whole checkpoints, from which a training goes on exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.fileio import LocalBackend, get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop
from torch import Tensor

from mmlogo.checkpoints.seal import BACKEND, write_file
from mmlogo.engine.rank_state import rank_state, restore, restore_random
from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.statistics import averaged_statistics
from mmlogo.registry import HOOKS

SAVED_AS = 'resume'  # the key in a checkpoint
_FORMER = 'interrupted_ckpt'  # the checkpoint of an interruption, in MMEngine's hub


@HOOKS.register_module()
class DurableCheckpointHook(CheckpointHook):
    """Save checkpoints so that one is always there, and a training goes on from it exactly.

    MMEngine's hook removes old files first and writes the new one in place. This hook
    writes the new file under a temporary name, syncs it, renames it, and then removes what
    is spent. A file ends with the SHA-256 of its content.

    A checkpoint has BatchNorm's running statistics averaged over all processes. Beside
    them it has what differs from process to process: its own statistics, the gradients of
    a step that is accumulated halfway, and the states of the random generators.

    Args:
        args, kwargs: Arguments of MMEngine's `CheckpointHook`, such as `interval` and
            `max_keep_ckpts`. With the default of `backend_args`, None, files are written
            as above. A backend of another kind, such as Petrel's, writes as it can.

    Raises:
        ValueError: When training starts, if a resumed training has other steps in an epoch
            than the checkpoint's, or another batch or data set. When a checkpoint is saved,
            if it has values that are not finite.
    """

    file_backend: Any
    backend_args: Any

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.saved: dict[str, Any] = {}
        self.ranks: list[dict[str, Any]] = []
        self.random: dict[str, Any] | None = None

    # --- saving ---

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        refuse_not_finite(checkpoint, runner.work_dir)
        if self.ranks and 'optimizer' in checkpoint:
            checkpoint[SAVED_AS] = dict(facts=facts(runner), ranks=self.ranks)

    def save_now(self, runner) -> Path:
        """Save a checkpoint after this iteration, out of turn, and return its path."""
        step = runner.iter + 1
        if not self.by_epoch:
            self._save_checkpoint_with_step(
                runner, step, meta=dict(epoch=runner.epoch, iter=step)
            )
            return Path(self.last_ckpt)
        name = f'iter_{step}.pth'
        path = self.file_backend.join_path(self.out_dir, name)
        former = runner.message_hub.runtime_info.get(_FORMER, path)
        with self._whole(runner), self._removing_last():
            runner.message_hub.update_info(_FORMER, path)
            runner.save_checkpoint(
                self.out_dir,
                name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=dict(epoch=runner.epoch, iter=step),
                by_epoch=False,
                backend_args=self.backend_args,
            )
            if former != path and is_main_process():
                self.file_backend.remove(former)
        if is_main_process():
            write_file(str(path).encode(), Path(runner.work_dir, 'last_checkpoint'))
        return Path(path)

    def _save_checkpoint_with_step(self, runner, step, meta) -> None:
        former = runner.message_hub.runtime_info.pop(_FORMER, None)
        with self._whole(runner), self._removing_last():
            super()._save_checkpoint_with_step(runner, step, meta)
            if former is not None and is_main_process():
                self.file_backend.remove(former)

    def _save_best_checkpoint(self, runner, metrics) -> None:
        with self._whole(runner), self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    @contextmanager
    def _whole(self, runner) -> Iterator[None]:
        """Context manager. What is saved in it has the state of every process."""
        if self.ranks:  # inside another
            yield
            return
        # Not a stage of MMEngine. Hooks that put off reading the device do it now.
        runner.call_hook('settle')
        self.ranks = all_gather_object(rank_state(runner))
        try:
            with averaged_statistics(unwrapped(runner.model)):
                yield
        finally:
            self.ranks = []

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        """Context manager. Files that are removed in it are removed at its end."""
        backend = self.file_backend
        self.file_backend = _RemovesLater(backend)
        try:
            yield
            self.file_backend.remove_now()
        finally:
            self.file_backend = backend

    # --- resuming ---

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        self.saved = checkpoint.get(SAVED_AS) or {}

    def before_train(self, runner) -> None:
        if self.backend_args is None and isinstance(
            get_file_backend(self.out_dir or runner.work_dir), LocalBackend
        ):
            self.backend_args = dict(backend=BACKEND)
        super().before_train(runner)
        if runner.iter == 0:
            return
        refuse_other_steps(runner, self.saved.get('facts'))
        ranks = self.saved.get('ranks') or []
        restore(runner, ranks)
        if len(ranks) == get_world_size():
            self.random = ranks[get_rank()]['random']
            if runner.iter % len(runner.train_dataloader) == 0:
                self._restore_random()  # an evaluation comes after the checkpoint
        elif ranks:
            runner.logger.warning(
                f'{len(ranks)} processes trained before and {get_world_size()} do now, so '
                'the training goes on with the same samples, but not to the last bit'
            )
        self.saved = {}

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._restore_random()  # in mid-epoch, when the loader's workers have their seeds

    def _restore_random(self) -> None:
        if self.random is not None:
            restore_random(self.random)
            self.random = None


class _RemovesLater:
    """A storage backend whose removals wait for `remove_now`."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.waiting: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        if os.path.exists(path):
            self.waiting.append((path, os.stat(path).st_ino))

    def remove_now(self) -> None:
        """Remove the files, but none that was written anew since."""
        for path, inode in self.waiting:
            if os.path.exists(path) and os.stat(path).st_ino == inode:
                self.backend.remove(path)
        self.waiting = []


def facts(runner) -> dict[str, Any]:
    """Return what must not change when a training is resumed."""
    loader = runner.train_dataloader
    batch = loader.batch_size or loader.batch_sampler.batch_size
    return dict(
        steps_per_epoch=len(loader),
        global_batch=batch * get_world_size(),
        images=len(loader.dataset),
        accumulation=runner.optim_wrapper._accumulative_counts,
    )


_NAMES = dict(
    steps_per_epoch='iterations per epoch',
    global_batch='images per iteration, over all processes',
    images='images in the data set',
    accumulation='iterations per optimiser step',
)


def refuse_other_steps(runner, saved: dict[str, Any] | None) -> None:
    """Refuse to go on with other steps than the checkpoint's.

    Raises:
        ValueError: With both numbers. A checkpoint of an older version does not tell them,
            and then only its iteration and epoch are compared.
    """
    now = facts(runner)
    if saved is None:
        steps = now['steps_per_epoch']
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        begin = runner.epoch * steps
        if not by_epoch or begin <= runner.iter <= begin + steps:
            return
        differ = [
            f'iterations per epoch {runner.iter / max(1, runner.epoch):g} (now {steps})'
        ]
    else:
        differ = [
            f'{_NAMES[name]} {saved[name]:,} (now {value:,})'
            for name, value in now.items()
            if saved[name] != value
        ]
    if differ:
        raise ValueError(
            f'the checkpoint is of another training: {"; ".join(differ)}. A training can '
            'only be resumed with the steps that it had. Resume with the same data, batch '
            'and processes, or begin a new training from its weights: leave --resume out '
            'and give --cfg-options load_from=CHECKPOINT and another --work-dir'
        )


def refuse_not_finite(checkpoint: dict, work_dir: str) -> None:
    """Refuse to save values that are NaN or infinite.

    Raises:
        ValueError: Naming the tensors. Older checkpoints are as they were.
    """
    state = checkpoint.get('state_dict', {})
    wrong = [
        name
        for name, value in state.items()
        if isinstance(value, Tensor)
        and value.is_floating_point()
        and not torch.isfinite(value).all()
    ]
    if wrong:
        raise ValueError(
            f'nothing is saved: {len(wrong)} of {len(state)} tensors of the model are not '
            f'finite, such as {", ".join(wrong[:3])}. Checkpoints in {work_dir} are as '
            'they were; resume from one of them with a lower learning rate'
        )
