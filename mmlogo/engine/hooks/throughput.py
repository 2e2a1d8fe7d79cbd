"""Speed and memory in every line of the log."""

from __future__ import annotations

import resource
import sys

import torch
from mmengine.hooks import Hook

from mmlogo.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """images/s, data_wait (%) and peak memory (MB) in every line of the log.

    images/s counts source images of all processes. data_wait is the share of the
    step the model spent waiting for its batch. Memory is CUDA's peak allocation,
    or the process' peak resident size on a CPU.

    Args:
        window: Iterations averaged.
    """

    priority = 'NORMAL'  # after IterTimerHook by order, before LoggerHook

    def __init__(self, window: int = 20) -> None:
        self.window = window

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        hub, loader = runner.message_hub, runner.train_dataloader
        step = hub.get_scalar('train/time').mean(self.window)
        wait = hub.get_scalar('train/data_time').mean(self.window)
        batch = (loader.batch_size or loader.batch_sampler.batch_size) * runner.world_size
        hub.update_scalar('train/images_per_s', batch / step)
        hub.update_scalar('train/data_wait', 100 * wait / step)
        hub.update_scalar('train/memory_mb', peak_memory_mb())


def peak_memory_mb() -> float:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib / (2**20 if sys.platform == 'darwin' else 2**10)
