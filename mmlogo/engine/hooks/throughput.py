"""A hook that adds speed and memory to every line of the log."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from typing import Any

import torch
from mmengine.hooks import Hook

from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Add images_per_s, data_wait, views_wait and memory_mb to every line of the log.

    images_per_s counts source images of all processes. data_wait is the share of a step
    that the network waits for its views, per cent. It has two parts: the wait for the
    loader, and views_wait, the time of the data preprocessor. On a GPU that is the time in
    which Python starts its work there. memory_mb is CUDA's peak allocation or, on a CPU,
    the process's peak resident size, in MiB.

    Args:
        window: Number of last iterations that are averaged. Default: 20.
    """

    priority = 'NORMAL'  # after IterTimerHook, which is registered first; before LoggerHook

    def __init__(self, window: int = 20) -> None:
        self.window = window
        self.views = 0.0  # seconds of this step
        self.recent: deque[float] = deque(maxlen=window)
        self.listening: list[Any] = []

    def before_train(self, runner) -> None:
        preprocessor = unwrapped(runner.model).data_preprocessor
        self.listening = [
            preprocessor.register_forward_pre_hook(self._begin),
            preprocessor.register_forward_hook(self._end),
        ]

    def after_train(self, runner) -> None:
        for handle in self.listening:
            handle.remove()
        self.listening = []

    def _begin(self, *_: object) -> None:
        self.views -= time.perf_counter()

    def _end(self, *_: object) -> None:
        self.views += time.perf_counter()

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.views = 0.0

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        hub, loader = runner.message_hub, runner.train_dataloader
        step = hub.get_scalar('train/time').mean(self.window)
        self.recent.append(self.views)
        views = sum(self.recent) / len(self.recent)
        wait = hub.get_scalar('train/data_time').mean(self.window) + views
        batch = (loader.batch_size or loader.batch_sampler.batch_size) * runner.world_size
        hub.update_scalar('train/images_per_s', batch / step)
        hub.update_scalar('train/data_wait', 100 * wait / step)
        hub.update_scalar('train/views_wait', 100 * views / step)
        hub.update_scalar('train/memory_mb', peak_memory_mb())


def peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / (2**20 if sys.platform == 'darwin' else 2**10)
