"""The first losses of every `*_5k` config and of quickstart.py, to the last bit.

    .dev/record_losses.py OUT.json --data-root DIR [--steps 20] [--images 500] [CONFIG ...]

A change of the code that should not change results writes the same file before and after:
`diff before.json after.json` is then empty. Every number is written by `float.hex`, so
that nothing is lost. One thread and one process, on the CPU, seed 0. CIFAR-10 is cut to
the first `images` images (equal shares of its classes); PhotoTiles stay whole.
"""

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlogo.config import configs_folder, load_config


class EnoughError(Exception):
    """As many steps as were asked for."""


class RecordHook(Hook):
    """Keep every scalar that a step returns."""

    priority = 'HIGHEST'

    def __init__(self, steps: int) -> None:
        self.steps, self.record = steps, []

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        self.record.append({k: v.item().hex() for k, v in sorted(outputs.items())})
        if len(self.record) == self.steps:
            raise EnoughError


def first_losses(name: str, data_root: str, images: int, steps: int) -> list[dict]:
    """What the steps of a config returned, a dict a step."""
    cfg = load_config(f'mmlogo::{name}')
    dataset = cfg.train_dataloader.dataset
    if 'per_class' in dataset:
        dataset.update(per_class=images // 10, data_root=data_root)
    cfg.train_dataloader.num_workers = 0
    cfg.train_dataloader.persistent_workers = False
    cfg.train_dataloader.batch_size = cfg.get('global_batch_size') or (
        cfg.train_dataloader.batch_size
    )
    for part in ('val', 'test'):
        for kind in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{part}_{kind}'] = None
    cfg.bank_dataloader = None
    hook = RecordHook(steps)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir, cfg.log_level = folder, 'ERROR'
        cfg.vis_backends = [dict(type='LocalVisBackend')]
        cfg.visualizer.vis_backends = cfg.vis_backends
        runner = Runner.from_cfg(cfg)
        runner.register_hook(hook)
        with contextlib.suppress(EnoughError):
            runner.train()
    return hook.record


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('out', type=Path)
    parser.add_argument('configs', nargs='*')
    parser.add_argument('--data-root', required=True)
    parser.add_argument('--steps', type=int, default=20)
    parser.add_argument('--images', type=int, default=500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    names = args.configs or [
        *sorted(path.name for path in configs_folder().glob('*_5k.py')),
        'quickstart.py',
    ]
    losses = {}
    for name in names:
        losses[name] = first_losses(name, args.data_root, args.images, args.steps)
        print(f'{name}: {len(losses[name])} steps, first {losses[name][0]}', flush=True)
        args.out.write_text(json.dumps(losses, indent=1) + '\n')


if __name__ == '__main__':
    main()
