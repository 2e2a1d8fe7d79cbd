"""Measures what a training costs: python -m mmlogo.launch.cost CONFIG OUT [...].

It trains for a few steps, evaluates once, writes JSON to OUT, and keeps nothing else.
`tools/compare.py --budget` starts it in a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.config import load_config

WARM = 5  # first steps that are not counted
STEPS = 25  # steps that are


class _EnoughError(Exception):
    """All steps are measured."""


class _Meter(Hook):
    """Notes the processor time after every step, and ends the training."""

    priority = 'LOWEST'

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.clock: list[float] = []

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        self.clock.append(time.process_time())
        if len(self.clock) == self.steps:
            raise _EnoughError


def measure(cfg: Config, steps: int = STEPS, warm: int = WARM) -> dict:
    """Train for a few steps as the config says, and evaluate once.

    Args:
        cfg: The config, ready for the Runner. It is changed.
        steps: How many steps are counted, at least 1; default: 25.
        warm: How many steps before them are not; default: 5.

    Returns:
        `batch`, images; `seconds`, of processor time for a step (median); `evaluation`,
        seconds of processor time for a validation, 0 without one; `images`, in the data
        set.

    Raises:
        ValueError: If the model refuses the batch.
    """
    # Epochs may be shorter than the steps. Nothing else than steps is wanted.
    cfg.train_cfg.max_epochs = cfg.train_cfg.get('max_epochs', 0) + warm + steps + 1
    cfg.train_cfg.val_begin = cfg.train_cfg.max_epochs + 1
    for name in ('validate_first', 'checkpoint', 'provenance'):
        if name in cfg.default_hooks:
            cfg.default_hooks[name] = None
    launch.drop_hooks(cfg)
    runner = Runner.from_cfg(cfg)
    meter = _Meter(warm + steps + 1)
    runner.register_hook(meter)
    with contextlib.suppress(_EnoughError):
        runner.train()
    clock = meter.clock[warm:]
    begun = time.process_time()
    if runner.val_loop is not None:
        runner.val_loop.run()
    return dict(
        batch=runner.train_dataloader.batch_size,
        seconds=median(b - a for a, b in pairwise(clock)),
        evaluation=time.process_time() - begun,
        images=len(runner.train_dataloader.dataset),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(':')[0])
    launch.add_arguments(parser)
    parser.add_argument('out', type=Path)
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = folder
        cfg = launch.prepare(load_config(args.config), args)
        launch.divide_global_batch(cfg)
        if args.amp:
            launch.use_amp(cfg)
        cost = measure(cfg)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partly = args.out.with_suffix('.part')
    partly.write_text(json.dumps(cost) + '\n')
    partly.replace(args.out)


if __name__ == '__main__':
    main()
