"""What every hook costs.

    .dev/benchmark_hooks.py CONFIG [--epochs 3] [--amp] [--data-root DIR]

Trains as the config says, without validation and checkpoints, and prints the CPU seconds of
every hook's methods around a step in per cent of those of the whole training. On a GPU the
numbers are of the CPU's side alone.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable

from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.config import load_config
from mmlogo.launch.lint import check_keys

METHODS = ('before_train_iter', 'after_train_iter', 'hear_views', 'hear_features')


def timed(method: Callable, name: str, spent: Counter) -> Callable:
    def call(*args, **kwargs):
        start = time.process_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[name] += time.process_time() - start

    return call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    launch.add_arguments(parser)
    parser.add_argument('--epochs', type=int, default=3)
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    args = parser.parse_args()
    cfg = launch.prepare(load_config(args.config), args)
    launch.divide_global_batch(cfg)
    if args.amp:
        launch.use_amp(cfg)
    cfg.train_cfg.max_epochs = args.epochs
    cfg.train_cfg.val_begin = args.epochs + 1  # the probe looks at the evaluator alone
    cfg.default_hooks.validate_first = None
    cfg.default_hooks.checkpoint = None
    launch.drop_hooks(cfg)
    check_keys(cfg)
    launch.check_data_roots(cfg)
    runner = Runner.from_cfg(cfg)
    spent: Counter[str] = Counter()
    for hook in runner.hooks:
        name = type(hook).__name__
        for method in METHODS:
            if hasattr(hook, method):
                setattr(hook, method, timed(getattr(hook, method), name, spent))
    start = time.process_time()
    runner.train()
    total = time.process_time() - start
    print(f'{runner.iter} steps, {1000 * total / runner.iter:.1f} ms of CPU each')
    for name, seconds in spent.most_common():
        each, share = 1000 * seconds / runner.iter, 100 * seconds / total
        print(f'{name:24s} {each:8.2f} ms {share:6.2f} %')


if __name__ == '__main__':
    main()
