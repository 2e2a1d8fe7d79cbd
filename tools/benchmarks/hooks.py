"""What each hook costs, in per cent of a training's CPU time.

The config is trained without validation and checkpoints. On a GPU the numbers are of the
CPU's side alone.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable

from benchmarks import gpu

METHODS = ('before_train_iter', 'after_train_iter', 'hear_views', 'hear_features')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    gpu.add_arguments(parser)
    parser.add_argument('--epochs', type=int, default=3)


def timed(method: Callable, name: str, spent: Counter) -> Callable:
    def call(*args, **kwargs):
        start = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - start

    return call


def run(args: argparse.Namespace) -> None:
    for config in args.configs:
        runner = gpu.build(config, args, epochs=args.epochs)
        spent: Counter[str] = Counter()
        for hook in runner.hooks:
            name = type(hook).__name__
            for method in METHODS:
                if hasattr(hook, method):
                    setattr(hook, method, timed(getattr(hook, method), name, spent))
        start = time.process_time()
        runner.train()
        total = time.process_time() - start
        each = 1000 * total / runner.iter
        print(f'{config}: {runner.iter} steps, {each:.1f} ms of CPU each')
        for name, seconds in spent.most_common():
            each, share = 1000 * seconds / runner.iter, 100 * seconds / total
            print(f'{name:24s} {each:8.2f} ms {share:6.2f} %')
