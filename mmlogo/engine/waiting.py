"""Waits for batches, and says which worker process is to blame if none comes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

T = TypeVar('T')
PATIENCE = 300.0  # seconds to wait for a batch
STOPPED_AFTER = 5.0  # seconds after which a stopped worker counts as the cause
_EVERY = 0.5  # seconds between two looks
_NO_ROOM = ('shared memory', 'Bus error', 'to file </torch_')


class LoaderError(RuntimeError):
    """A batch did not come."""


def watched(batches: Iterable[T], patience: float = PATIENCE) -> Iterator[T]:
    """Yield batches, and end the process if one does not come in time.

    A worker process can hang in a read, or be stopped. torch waits for it for ever, also
    when it is told to give up, because it then waits for the worker's end. So the process
    kills its workers and ends itself with code 1, after it has said why.

    Args:
        batches: The batches.
        patience: Seconds to wait for a batch. A worker that is stopped is noticed after 5
            seconds. Default: 300.
    """
    watch = _Watch(patience)
    iterator = iter(batches)
    try:
        while True:
            try:
                with watch:
                    batch = next(iterator)
            except StopIteration:
                return
            yield batch
    finally:
        watch.end()


class _Watch:
    """A thread that looks at the workers while the main thread waits for a batch."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.since: float | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._look, name='batches', daemon=True).start()

    def __enter__(self) -> None:
        self.since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.since = None

    def end(self) -> None:
        self.ended.set()

    def _look(self) -> None:
        last = time.monotonic()
        while not self.ended.wait(_EVERY):
            now, since = time.monotonic(), self.since
            if now - last > 10 * _EVERY and since is not None:
                self.since = now  # this process was stopped itself
            last = now
            if self.since is None or since is None:
                continue
            waited = now - since
            stopped = [p.pid for p in multiprocessing.active_children() if _stopped(p.pid)]
            if stopped and waited > STOPPED_AFTER:
                _leave(
                    f'waited {waited:.0f} s for a batch while worker {stopped[0]} of the '
                    'data loader is stopped (state T). Something sent it SIGSTOP; start '
                    'again with --resume'
                )
            if waited > self.patience:
                _leave(
                    f'waited {waited:.0f} s for a batch, and train_cfg.patience is '
                    f'{self.patience:g} s. A worker hangs, perhaps in a read from a disk '
                    'or a network. Check the storage, or raise train_cfg.patience, and '
                    'start again with --resume'
                )


def _stopped(pid: int | None) -> bool:
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except (OSError, IndexError):
        return False
    return state in 'Tt'


def _leave(why: str) -> None:
    """End this process and its workers. The main thread may wait for ever."""
    print(f'\nLoaderError: {why}', file=sys.stderr, flush=True)
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
    os._exit(1)


def share_in_workers(loader: DataLoader) -> None:
    """Let workers put their batches into shared memory themselves.

    torch does it in a thread of the worker that sends the batch. An error there, such as a
    full /dev/shm, is printed and the batch never comes. In the worker's own thread it is an
    error of the batch, which the training gets.
    """
    if loader.num_workers and not isinstance(loader.collate_fn, _Sharing):
        loader.collate_fn = _Sharing(loader.collate_fn)


class _Sharing:
    """A `collate_fn` whose tensors are in shared memory."""

    def __init__(self, collate: Callable) -> None:
        self.collate = collate

    def __call__(self, samples: Any) -> Any:
        batch = self.collate(samples)
        if get_worker_info() is not None:
            for tensor in _tensors(batch):
                tensor.share_memory_()
        return batch


def _tensors(batch: Any) -> Iterator[Tensor]:
    if isinstance(batch, Tensor):
        yield batch
    elif isinstance(batch, (Mapping, BaseDataElement)):
        for value in batch.values():
            yield from _tensors(value)
    elif isinstance(batch, (list, tuple)):
        for value in batch:
            yield from _tensors(value)


@contextmanager
def explained() -> Iterator[None]:
    """Context manager. Say what to do about a worker that has died.

    torch raises its error in the middle of whatever the main thread does.

    Raises:
        LoaderError: In place of torch's error.
    """
    try:
        yield
    except RuntimeError as error:
        better = _explained(error)
        if better is None:
            raise
        raise better from error


def _explained(error: RuntimeError) -> LoaderError | None:
    text = str(error)
    if any(sign in text for sign in _NO_ROOM):
        return LoaderError(
            f'a worker has no room in shared memory ({_line(text)}). Enlarge '
            '/dev/shm, in Docker with --shm-size=8g, or take fewer workers with '
            '--cfg-options train_dataloader.num_workers=0'
        )
    if 'DataLoader worker' in text:
        return LoaderError(
            f'{text.splitlines()[0].strip()} If it was killed, the machine was perhaps '
            'out of memory: take fewer workers or smaller batches, and start again with '
            '--resume'
        )
    return None


def _line(text: str) -> str:
    """Return the line of an error that says why. A worker's begins with its traceback."""
    lines = text.strip().splitlines()
    return next(
        (line for line in lines if any(sign in line for sign in _NO_ROOM)), lines[0]
    ).strip()
