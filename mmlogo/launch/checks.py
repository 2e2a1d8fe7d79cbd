"""What of a config, a data set or a checkpoint is refused before anything is built."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from torch import Tensor, nn

from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.datasets.in_memory import InMemoryImages
from mmlogo.engine.unwrap import unwrapped
from mmlogo.launch.lint import find_type


def datasets_of(cfg: Config) -> Iterator[dict]:
    """Every dataset of the config, the inner ones of wrappers too."""
    stack = [cfg.get(name) for name in cfg if name.endswith('_dataloader')]
    stack += [cfg.get('val_cfg'), cfg.get('test_cfg')]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if 'data_root' in node:
                yield node
            stack += node.values()
        elif isinstance(node, (list, tuple)):
            stack += node


def check_data_roots(cfg: Config) -> None:
    """Refuse a data root that is not there, before anything is built.

    Data sets that can download themselves are left to say so.

    Raises:
        FileNotFoundError: Naming the data set and the folder.
        ValueError: If the config's `data_root` is one that no data set reads.
    """
    roots = {dataset['data_root'] for dataset in datasets_of(cfg)}
    if roots and 'data_root' in cfg and cfg.data_root not in roots:
        raise ValueError(
            f'data_root = {cfg.data_root!r} at the top of the config reaches no data set '
            f'(they read {sorted(roots)}); pass --data-root {cfg.data_root} instead'
        )
    for dataset in datasets_of(cfg):
        kind = find_type(dataset['type'], cfg.get('default_scope', 'mmlogo'))
        root = Path(dataset['data_root']).expanduser()
        if not issubclass(kind, InMemoryImages) and not root.is_dir():
            raise FileNotFoundError(
                f'{dataset["type"]} reads {root}, which is no folder; pass '
                '--data-root DIR, or change `data_root` in the config'
            )


def check_runner(cfg: Config) -> None:
    """Refuse a config for MMEngine's FlexibleRunner, which the Runner would half ignore.

    Raises:
        ValueError: If the config has a `strategy` (FSDP, DeepSpeed, ColossalAI) or another
            `runner_type` than 'Runner'.
    """
    asked = [f'{key}={cfg[key]!r}' for key in ('strategy', 'runner_type') if cfg.get(key)]
    if cfg.get('strategy') or cfg.get('runner_type', 'Runner') != 'Runner':
        raise ValueError(
            f'the config has {" and ".join(asked)}, for a FlexibleRunner, and mmlogo '
            'trains with a Runner and DistributedDataParallel: its teachers, hooks and '
            'checkpoints read whole weights, not shards; take it out, and lower the memory '
            'with --amp, model.backbone.with_cp=True or optim_wrapper.accumulative_counts'
        )


def check_schedules(cfg: Config) -> None:
    """Refuse schedules that do not fit into the training.

    Raises:
        ValueError: Naming one that begins after the training's end, a warm-up that ends
            after it or never leaves its first rate, and what to change.
    """
    schedules = cfg.get('param_scheduler') or ()
    for place, schedule in enumerate(
        schedules if isinstance(schedules, list) else [schedules]
    ):
        kind = schedule['type']
        name = f'param_scheduler.{place}, {kind},'
        unit = 'epoch' if schedule.get('by_epoch', True) else 'iter'
        length = (cfg.get('train_cfg') or {}).get(f'max_{unit}s')
        begin, end = schedule.get('begin', 0), schedule.get('end')
        # An epoch that is converted has as many steps as batches, which nobody knows yet.
        converted = schedule.get('convert_to_iter_based', False)
        if kind == 'LinearLR' and end is not None and end - begin < 2 and not converted:
            raise ValueError(
                f'{name} is for {unit} {begin} to {end}, and MMEngine keeps the first rate '
                'of one that short for ever; let it last two steps at least, set '
                'convert_to_iter_based=True, or take it out'
            )
        if not length:
            continue
        if begin >= length:
            raise ValueError(
                f'{name} begins at {unit} {begin}, but training ends at {length}: let it '
                'begin earlier, what is before it end earlier, or train longer'
            )
        if kind.startswith(('Linear', 'WarmUp')) and (end or 0) > length:
            raise ValueError(
                f'{name} is for {unit} {begin} to {end}, but training ends at {length}: '
                'all of it would be warm-up; shorten it, as with --cfg-options '
                f'param_scheduler.{place}.end={max(2, length // 10)}, and let what follows '
                'begin there, or train longer'
            )
        if min(schedule.get('milestones', [0])) >= length:
            print_log(
                f'{name} lowers the rate at {schedule["milestones"]}, and training ends at '
                f'{length}: it never will',
                'current',
                logging.WARNING,
            )


def check_fits(
    model: nn.Module, checkpoint: str, parts: Sequence[str] = ('backbone',)
) -> None:
    """Refuse a checkpoint of another network; MMEngine would score random weights.

    `parts` are the model's attributes that have to fit; without any, all of it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read; or naming the tensors that are missing or have
            another shape.
    """
    loaded = read_checkpoint(checkpoint)
    content = loaded.get('state_dict', loaded) if isinstance(loaded, Mapping) else {}
    found = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    wanted = unwrapped(model).state_dict()
    wrong = [
        f'{name} {tuple(value.shape)} is '
        + (f'{tuple(found[name].shape)} in it' if name in found else 'not in it')
        for name, value in wanted.items()
        if (not parts or name.startswith(tuple(f'{part}.' for part in parts)))
        and (name not in found or found[name].shape != value.shape)
    ]
    if wrong:
        raise ValueError(
            f'{checkpoint} is of another network than the config: {len(wrong)} tensors of '
            f'the {" and ".join(parts) or "model"} do not fit, such as '
            f'{"; ".join(wrong[:3])}; give the config that the checkpoint was trained with'
            + (
                ''
                if any(name.startswith('backbone.') for name in found)
                else ", or, of another package's checkpoint, what tools/export_backbone.py "
                'CKPT --to mmpretrain OUT makes of it'
            )
        )


def require_checkpoint(checkpoint: str) -> None:
    """Raise FileNotFoundError, with those that are near, if there is none."""
    if not Path(checkpoint).is_file():
        folder = Path(checkpoint).parent
        near = sorted(path.name for path in folder.glob('*.pth'))
        raise FileNotFoundError(
            f'there is no checkpoint {checkpoint}; '
            + (
                f'that folder has {near}'
                if near
                else f'that folder {"has none" if folder.is_dir() else "is not there"}'
            )
        )
