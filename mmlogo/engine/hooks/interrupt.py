"""A hook that saves a checkpoint and ends the training when a signal asks for it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any

from mmengine.dist import barrier, get_world_size
from mmengine.hooks import Hook
from torch.utils.data import DataLoader

from mmlogo.engine.hooks.checkpoint import DurableCheckpointHook
from mmlogo.engine.interrupts import Agreement, TrainingInterrupted, note_saved
from mmlogo.registry import HOOKS

# Seconds in which a signal may come twice: a terminal sends Ctrl-C to a launcher and to its
# processes, and the launcher sends it on.
ECHO = 2.0
# What the workers of data loaders share with this process. multiprocessing ends its
# children in a function of `atexit` that was registered earlier, so it runs later.
_LEAVING = multiprocessing.RawValue('b', 0)
atexit.register(setattr, _LEAVING, 'value', 1)
_FORMER: dict[signal.Signals, Any] = {}  # the handlers in whose place ours are


def _block() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORMER)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORMER)


def _restore_in_fork() -> None:
    """Let a forked process, such as one of a pool, take signals as it would without us."""
    for number, handler in _FORMER.items():
        signal.signal(number, handler)
    _unblock()
    _FORMER.clear()


# A signal in the moment of a fork would be lost: Python forgets it in the child.
os.register_at_fork(
    before=_block, after_in_parent=_unblock, after_in_child=_restore_in_fork
)


@HOOKS.register_module()
class InterruptHook(Hook):
    """Save a checkpoint after the running iteration when a signal comes, and end.

    The processes of a training end together, after the same iteration, with exit code 75.
    `--resume` then goes on with the next batch. Another signal, two seconds later or more,
    ends a process at once, with 128 and the signal's number. In an evaluation, the signal
    waits for the iteration after it.

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
        self.since = 0.0
        self.former: dict[signal.Signals, Any] = {}
        self.agreement: Agreement | None = None

    def before_train(self, runner) -> None:
        self.received = None
        self.agreement = Agreement() if get_world_size() > 1 else None
        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                handler = signal.signal(number, self._receive)
                if not isinstance(getattr(handler, '__self__', None), InterruptHook):
                    _FORMER[number] = handler
            self.former = dict(_FORMER)
            for loader in loaders_of(runner):
                loader.worker_init_fn = partial(
                    ignore_signals,
                    then=loader.worker_init_fn,
                    signals=self.signals,
                    leaving=_LEAVING,
                )

    def after_train(self, runner) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)
        self.former = {}
        _FORMER.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if time.monotonic() - self.since > ECHO:
                os._exit(128 + number)
            return
        self.received, self.since = signal.Signals(number), time.monotonic()
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


def loaders_of(runner) -> Iterator[DataLoader]:
    """Yield the data loaders of a training and of its evaluations."""
    loaders = [runner.train_dataloader]
    loaders += [
        getattr(runner.val_loop, name, None) for name in ('dataloader', 'bank_dataloader')
    ]
    yield from (loader for loader in loaders if isinstance(loader, DataLoader))


def ignore_signals(
    worker: int,
    *,
    then: Callable[[int], None] | None,
    signals: Sequence[signal.Signals],
    leaving: Any,
) -> None:
    """Let a worker of a data loader ignore signals, and call its own function.

    Schedulers and Ctrl-C send a signal to all processes of a job. A worker that ended
    would end the training before it is saved. When the training's process ends, Python
    itself sends SIGTERM to the workers, and then they end.

    Args:
        worker: The number of the worker.
        then: The function that the data loader has for its workers, or None.
        signals: The signals.
        leaving: A shared value that is 1 when the training's process ends.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        if leaving.value:
            os._exit(0)

    for number in signals:
        signal.signal(number, receive)
    if then is not None:
        then(worker)
