"""What it costs that a training survives everything, in per cent of a step.

A training of the config runs with the hooks that watch over it (values, signals, bad
images, the length of the log) in every other block of steps, and without them in between.
The cost is the median of the ratios of neighbouring blocks.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable

from benchmarks import gpu, rounds
from mmengine.hooks import Hook

WATCHERS = ('FiniteHook', 'InterruptHook', 'BadSamplesHook', 'BoundedLogHook')
METHODS = ('before_train_iter', 'after_train_iter')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu.add_arguments(parser)
    parser.add_argument('--blocks', type=int, default=60)
    parser.add_argument('--block', type=int, default=6, help='steps in a block')


class Alternate(Hook):
    """Switches the watchers on and off, and times the blocks."""

    priority = 'HIGHEST'

    def __init__(self, blocks: int, block: int) -> None:
        self.blocks, self.block = blocks, block
        self.on, self.times = True, []

    def before_train(self, runner) -> None:
        self.watchers = [h for h in runner.hooks if type(h).__name__ in WATCHERS]
        for hook in self.watchers:
            for name in METHODS:
                setattr(hook, name, self.gated(getattr(hook, name)))
        self.finite = next(h for h in self.watchers if type(h).__name__ == 'FiniteHook')

    def gated(self, method: Callable) -> Callable:
        def call(*args, **kwargs):
            return method(*args, **kwargs) if self.on else None

        return call

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if runner.iter % self.block:
            return
        rounds.synchronise()
        now = time.perf_counter()
        if runner.iter:
            self.times.append(now - self.start)
            if len(self.times) == self.blocks:
                raise gpu.EnoughError
            self.on = not self.on
            (self.finite.before_train if self.on else self.finite.after_train)(runner)
        self.start = time.perf_counter()


def run(args: argparse.Namespace) -> None:
    for config in args.configs:
        runner = gpu.build(config, args, epochs=1000)
        hook = Alternate(args.blocks, args.block)
        runner.register_hook(hook, priority='VERY_HIGH')
        with contextlib.suppress(gpu.EnoughError):
            runner.train()
        with_them, without = hook.times[2::2], hook.times[3::2]  # the first two warm up
        ratios = [a / b for a, b in zip(with_them, without, strict=False)]
        step = 1000 * statistics.median(without) / args.block
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f'{config}: {step:.1f} ms a step; with them {100 * (middle - 1):+.2f} % '
            f'(quartiles {100 * (low - 1):+.2f} and {100 * (high - 1):+.2f}, '
            f'{len(ratios)} pairs of {args.block} steps)'
        )
