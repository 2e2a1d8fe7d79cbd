"""A hook that saves a checkpoint and ends the training when a signal asks for it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from mmengine.dist import barrier, get_world_size
from mmengine.hooks import Hook

from mmlogo.engine.hooks.checkpoint import DurableCheckpointHook
from mmlogo.engine.interrupts import Agreement, TrainingInterrupted, note_saved
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save a checkpoint after the running iteration when a signal comes, and end.

    The processes of a training end together, after the same iteration, with exit code 75.
    `--resume` then goes on with the next batch. A second signal ends a process at once,
    with 128 and the signal's number. In an evaluation, the signal waits for the iteration
    after it.

    Args:
        signals: Names of the signals. SIGTERM is what most schedulers send first, SIGINT is
            Ctrl-C, SIGUSR1 is what Slurm sends with `--signal=USR1@120`, and SIGHUP comes
            when a terminal is closed. Default: these four.

    Raises:
        ValueError: If there is no signal of a name.
        TrainingInterrupted: In training, after the checkpoint is saved.
    """

    priority = 'LOWEST'  # after the schedules and the log

    def __init__(
        self, signals: Sequence[str] = ('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGHUP')
    ) -> None:
        unknown = [name for name in signals if not hasattr(signal, name)]
        if unknown:
            raise ValueError(
                f'InterruptHook: there is no signal {unknown[0]!r}; give names such as '
                "'SIGTERM' and 'SIGUSR1'"
            )
        self.signals = [signal.Signals[name] for name in signals]
        self.received: signal.Signals | None = None
        self.former: dict[signal.Signals, Any] = {}
        self.agreement: Agreement | None = None

    def before_train(self, runner) -> None:
        self.received = None
        self.agreement = Agreement() if get_world_size() > 1 else None
        if threading.current_thread() is threading.main_thread():
            self.former = {s: signal.signal(s, self._receive) for s in self.signals}
            loader = runner.train_dataloader
            loader.worker_init_fn = partial(
                ignore_signals, then=loader.worker_init_fn, signals=self.signals
            )

    def after_train(self, runner) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)
        self.received = signal.Signals(number)
        print(
            f'\n{self.received.name}: saving a checkpoint after this iteration; a second '
            'signal ends at once',
            file=sys.stderr,
            flush=True,
        )

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        wanted = self.received is not None
        if self.agreement is not None:
            wanted = self.agreement.reached(wanted)
        if wanted:
            self.end(runner)

    def end(self, runner) -> None:
        """Save a checkpoint and end the training.

        Raises:
            TrainingInterrupted: Always.
        """
        saving = [h for h in runner.hooks if isinstance(h, DurableCheckpointHook)]
        path = saving[0].save_now(runner) if saving else None
        # A launcher that sees one process end sends signals to the others.
        for number in self.former:
            signal.signal(number, signal.SIG_IGN)
        cause = self.received.name if self.received else 'a signal to another process'
        runner.call_hook('after_interrupt', cause=cause)
        runner.logger.info(
            f'{cause}: the training ends after iteration {runner.iter + 1}, epoch '
            f'{runner.epoch + 1}. '
            + (
                f'{path} is saved; go on with --resume'
                if path
                else 'Nothing is saved, because the config has no DurableCheckpointHook'
            )
        )
        note_saved()
        barrier()
        raise TrainingInterrupted


def ignore_signals(
    worker: int, *, then: Callable[[int], None] | None, signals: Sequence[signal.Signals]
) -> None:
    """Let a worker of a data loader ignore signals, and call its own function.

    Schedulers and Ctrl-C send a signal to all processes of a job. A worker that ended
    would end the training before it is saved. Workers end when their training does.
    """
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
    if then is not None:
        then(worker)
