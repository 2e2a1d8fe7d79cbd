"""A training loop that goes on from any iteration as if it had never stopped."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch import nn

from mmlogo.datasets.sampler import EpochSampler
from mmlogo.engine.waiting import PATIENCE, explained, share_in_workers, watched
from mmlogo.registry import LOOPS


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Train for a number of epochs. A resumed training goes on with its next batch.

    MMEngine's loop begins a resumed epoch anew: it trains on samples twice and takes more
    iterations than there are. This loop skips the batches that were trained on, without
    reading them. It also repeats the evaluation after the last finished epoch, which may
    have been cut off.

    Args:
        patience: Seconds for which the loop waits for a batch before it stops with an
            error. Default: 300.
        kwargs: Arguments of MMEngine's `EpochBasedTrainLoop`, such as `max_epochs` and
            `val_interval`.

    Raises:
        LoaderError: In training, if a batch does not come. The message names the worker.
    """

    def __init__(self, *args, patience: float = PATIENCE, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience
        share_in_workers(self.dataloader)

    def run(self) -> nn.Module:
        self.runner.call_hook('before_train')
        if self._iter == self._epoch * len(self.dataloader) > 0:
            self.evaluate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self.evaluate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def run_epoch(self) -> None:
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        batches = watched(self.batches_after(done), self.patience)
        with explained():
            for idx, data_batch in enumerate(batches, done):
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def batches_after(self, done: int) -> Iterator[dict]:
        """Yield the batches of this epoch without the first `done`."""
        if done == len(self.dataloader):  # an iterator would draw a seed for its workers
            return
        sampler = self.dataloader.sampler
        if not done or isinstance(sampler, EpochSampler):
            size = self.dataloader.batch_size or self.dataloader.batch_sampler.batch_size
            with sampler.after(done * size) if done else contextlib.nullcontext():
                yield from self.dataloader
        else:
            print_log(
                f'The {type(sampler).__name__} cannot begin in the middle of an epoch, so '
                f'{done} batches are read and left out. Train with '
                "train_dataloader.sampler=dict(type='EpochSampler', shuffle=True) to skip "
                'them',
                'current',
                logging.WARNING,
            )
            yield from itertools.islice(self.dataloader, done, None)

    def evaluate(self) -> None:
        """Run the validation loop, if it is due after this epoch."""
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self.runner.val_loop.run()
