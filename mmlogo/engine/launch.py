"""From a command line to a Runner: devices, processes, batch sizes, data roots."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader, find_latest_checkpoint
from torch import nn

from mmlogo.datasets.in_memory import InMemoryImages
from mmlogo.engine.lint import check_overrides, find_type
from mmlogo.engine.unwrap import unwrapped

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')

_RUNNER_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)

_NO_BFLOAT16 = (
    '--amp on a CPU is bfloat16, which would move the corners of boxes by pixels; leave it '
    'out for detectors'
)

# launcher -> where it says RANK, WORLD_SIZE and LOCAL_RANK
_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that every tool which runs a config has."""
    parser.add_argument('config', help='a path, mmlogo::name.py or mmdet::folder/name.py')
    parser.add_argument('--work-dir', help='default: work_dirs/NAME_OF_THE_CONFIG')
    parser.add_argument('--data-root', help='read every dataset of the config from here')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override values, such as train_cfg.max_epochs=100',
    )
    parser.add_argument('--launcher', choices=LAUNCHERS, default='none')
    # torch.distributed.launch passes it; torchrun sets the variable instead
    parser.add_argument('--local-rank', '--local_rank', default='0', help=argparse.SUPPRESS)


def prepare(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply `add_arguments`' arguments to a config, and join the processes."""
    os.environ.setdefault('LOCAL_RANK', args.local_rank)
    check_overrides(cfg, args.cfg_options)
    cfg.merge_from_dict(args.cfg_options)
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or f'work_dirs/{Path(args.config).stem}'
    )
    cfg.work_dir = cfg.work_dir.replace('mmlogo::', '')
    data_root = args.data_root or args.cfg_options.get('data_root')
    if data_root:
        set_data_root(cfg, data_root)
    drop_hooks(cfg)
    init_processes(args.launcher, cfg)
    return cfg


def drop_hooks(cfg: Config) -> None:
    """Leave out hooks set to None; MMEngine does so for its own and refuses others."""
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in _RUNNER_HOOKS:
            del hooks[name]


def init_processes(launcher: str, cfg: Config) -> None:
    """Join the process group, on CUDA or not.

    MMEngine's own launchers call CUDA whatever the backend; with a group already
    there it leaves them alone. NCCL on CUDA, Gloo elsewhere.

    Raises:
        ValueError: If the launcher's variables are not set.
    """
    if launcher == 'none' or torch.distributed.is_initialized():
        return
    missing = [name for name in _VARIABLES[launcher] if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} needs the variables {_VARIABLES[launcher]} and '
            f'{missing} are not set; start with tools/dist_train.sh CONFIG N'
            + (' or tools/slurm_train.sh' if launcher == 'slurm' else '')
        )
    rank, world_size, local_rank = (os.environ[name] for name in _VARIABLES[launcher])
    here = os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE', world_size)
    if launcher == 'mpi' and here != world_size and 'MASTER_ADDR' not in os.environ:
        raise ValueError(
            f'--launcher mpi has {world_size} processes, {here} of them on this machine, '
            'and no MASTER_ADDR; pass the host of rank 0, as in mpirun -x MASTER_ADDR=HOST'
        )
    os.environ.update(RANK=rank, WORLD_SIZE=world_size, LOCAL_RANK=local_rank)
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        nodes = ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']]
        found = subprocess.run(nodes, capture_output=True, text=True, check=True)
        os.environ['MASTER_ADDR'] = found.stdout.split()[0]
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    options = dict(cfg.get('env_cfg', {}).get('dist_cfg', {}))
    backend = options.pop('backend', 'nccl')
    if 'timeout' in options:
        options['timeout'] = timedelta(seconds=options['timeout'])
    if torch.cuda.is_available():
        torch.cuda.set_device(int(local_rank))
    else:
        backend = 'gloo'
    torch.distributed.init_process_group(backend, **options)
    cfg.launcher = launcher


def leave_processes() -> None:
    """Leave the process group, if there is one, when a program's `main` has ended.

    Gloo's threads let go of the tensors of the last collective when they come to it, and
    need Python for that: one that comes after Python's end aborts the process, all its
    work done ("terminate called without an active exception"). They are waited for where
    the group is let go of, and a model that no garbage collection has found yet holds it.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.destroy_process_group()


def divide_global_batch(cfg: Config) -> None:
    """Share `global_batch_size` between the processes.

    `train_dataloader.batch_size`, in a config or on the command line, is per process,
    as MMEngine has it, and wins. Our configs do not set it.

    Raises:
        ValueError: If the processes do not divide it, or there is neither.
    """
    if 'batch_size' in cfg.train_dataloader:
        return
    if cfg.get('global_batch_size') is None:
        raise ValueError(
            'the config has no batch size; set global_batch_size, of all processes, or '
            'train_dataloader.batch_size, of each'
        )
    total, processes = cfg.global_batch_size, get_world_size()
    if total % processes:
        raise ValueError(
            f'global_batch_size={total} cannot be divided by {processes} processes; '
            'change one of them, or give the batch per process with --cfg-options '
            'train_dataloader.batch_size=...'
        )
    cfg.train_dataloader.batch_size = total // processes


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


def set_data_root(cfg: Config, data_root: str) -> None:
    """Point every dataset of the config to `data_root`.

    Raises:
        FileNotFoundError: If it is no folder.
        ValueError: If no dataset of the config reads from a folder.
    """
    if not Path(data_root).expanduser().is_dir():
        raise FileNotFoundError(f'--data-root {data_root} is no folder')
    datasets = list(datasets_of(cfg))
    if not datasets:
        raise ValueError('--data-root was given, but no dataset of this config has one')
    data_root = str(Path(data_root).expanduser())
    # the longest first: data/coco_mini before data
    before = sorted({str(dataset['data_root']) for dataset in datasets}, reverse=True)
    for dataset in datasets:
        dataset['data_root'] = data_root
    for name in ('val_evaluator', 'test_evaluator'):
        evaluator = cfg.get(name) or []
        for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
            # mmdet's metrics name their annotations with the data root in front
            for key, value in metric.items():
                old = [r for r in before if _is_below(value, r)]
                if old:
                    metric[key] = str(Path(data_root) / Path(value).relative_to(old[0]))
    if 'data_root' in cfg:
        cfg.data_root = data_root


def _is_below(value: object, folder: str) -> bool:
    # nothing is below '': every name would be
    within = Path(folder).parts
    return isinstance(value, str) and bool(within) and Path(value).is_relative_to(folder)


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
        if kind == 'LinearLR' and end is not None and end - begin < 2:
            raise ValueError(
                f'{name} is for {unit} {begin} to {end}, and MMEngine keeps the first rate '
                'of one that short for ever; let it last two steps at least, or take it out'
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


def use_amp(cfg: Config) -> None:
    """Train under autocast: bfloat16 where the device has it, else float16.

    Detectors get float16, as mmdet hands boxes to its RoI layers in the precision of the
    features, and bfloat16 rounds a coordinate of 600 to a multiple of four.

    Raises:
        ValueError: If the device, or the config's optimiser wrapper, cannot.
    """
    wrapper, device = cfg.optim_wrapper, get_device()
    kind = wrapper.get('type', 'OptimWrapper')
    if kind in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise ValueError(
            f'--amp cannot replace the optimiser wrapper {kind!r} of the config'
        )
    detector = cfg.get('default_scope') == 'mmdet'
    if detector and device == 'cpu':
        raise ValueError(_NO_BFLOAT16)
    if device == 'cpu' or (
        device == 'cuda'
        and torch.cuda.is_bf16_supported(including_emulation=False)
        and not detector
    ):
        wrapper.update(type='AutocastOptimWrapper', _scope_='mmlogo')
    elif device == 'cuda':
        wrapper.type = 'AmpOptimWrapper'
    else:
        raise ValueError(
            f'--amp is supported on CPU and CUDA, and the device is {device!r}; '
            'leave it out'
        )


def use_half_precision(cfg: Config) -> None:
    """Evaluate under autocast, in bfloat16; on CUDA MMEngine's own loops take float16.

    Raises:
        ValueError: For detectors on a CPU, as in `use_amp`.
    """
    if cfg.get('default_scope') == 'mmdet' and get_device() == 'cpu':
        raise ValueError(_NO_BFLOAT16)
    cfg.test_cfg.fp16 = True


def set_resume(cfg: Config, resume: str | None) -> None:
    """`--resume`: from the newest checkpoint; `auto`: or from nothing; or a path.

    Raises:
        FileNotFoundError: If there is nothing to resume and `auto` was not said.
    """
    if resume is None:
        return
    cfg.resume = True
    if resume not in ('', 'auto'):
        if not Path(resume).is_file():
            raise FileNotFoundError(f'--resume {resume}: there is no such checkpoint')
        cfg.load_from = resume
        return
    cfg.load_from = None
    note = Path(cfg.work_dir) / 'last_checkpoint'
    newest = find_latest_checkpoint(cfg.work_dir) if note.is_file() else None
    if resume == '' and (newest is None or not Path(newest).is_file()):
        raise FileNotFoundError(
            f'--resume: there is no checkpoint in {cfg.work_dir}; give its path, or say '
            '--resume auto to start anew where there is none'
        )


def set_pretrained(
    cfg: Config,
    checkpoint: str | None,
    allow_partial: bool = False,
    prefix: str | None = None,
) -> None:
    """`--pretrained`: begin with a backbone out of `checkpoint`, and no other download.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If there is none to which the other options could apply, or the
            config loads a whole model already.
    """
    if checkpoint is None:
        if allow_partial or prefix is not None:
            raise ValueError(
                '--allow-partial and --pretrained-prefix say how --pretrained CKPT is '
                'loaded, and it was not given'
            )
        for part in _begins_with(cfg):
            print_log(
                f'without --pretrained, training begins with {part["init_cfg"]}: fetched, '
                'and mostly learnt with labels',
                'current',
                logging.WARNING,
            )
        return
    require_checkpoint(checkpoint)
    if cfg.get('load_from') and not cfg.get('resume'):
        raise ValueError(
            f'the config loads a whole model (load_from = {cfg.load_from!r}) and '
            '--pretrained a backbone; choose one: leave --pretrained out, or say '
            '--cfg-options load_from=None'
        )
    hook = dict(
        type='PretrainedHook',
        _scope_='mmlogo',
        checkpoint=checkpoint,
        allow_partial=allow_partial,
    )
    hook |= {} if prefix is None else dict(prefix=prefix)
    cfg.merge_from_dict(dict(default_hooks=dict(pretrained=hook)))
    for part in _begins_with(cfg):
        part['init_cfg'] = None


def _begins_with(cfg: Config) -> Iterator[dict]:
    """Parts of the trunk whose config names weights, as mmdet's do."""
    model = cfg.get('model') or {}
    parts = (model.get('backbone'), (model.get('roi_head') or {}).get('shared_head'))
    for part in filter(None, parts):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            yield part


def use_scaled_lr(cfg: Config) -> None:
    """Scale every learning rate with the effective batch.

    Raises:
        ValueError: If the config does not say which batch its rates belong to.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the '
            'config: the batch its learning rates were chosen for'
        )
    # MMEngine knows the processes' batches, and not what is accumulated of them
    cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
    cfg.auto_scale_lr.enable = True


def check_fits(
    model: nn.Module, checkpoint: str, parts: Sequence[str] = ('backbone',)
) -> None:
    """Refuse a checkpoint of another network; MMEngine would score random weights.

    `parts` are the model's attributes that have to fit; without any, all of it.

    Raises:
        ValueError: Naming the tensors that are missing or have another shape.
    """
    loaded = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    found = loaded.get('state_dict', loaded)
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


def set_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Load `checkpoint` and evaluate it.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If the config has no test loop.
    """
    require_checkpoint(checkpoint)
    if cfg.get('test_cfg') is None:
        raise ValueError(
            'this config evaluates nothing (test_cfg is None); add test_cfg, '
            'test_dataloader, test_evaluator and bank_dataloader with labelled images'
        )
    cfg.load_from = checkpoint
