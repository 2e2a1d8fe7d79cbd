"""The changes that the arguments of the tools make to a config."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from mmlogo.checkpoints.newest import Found, newest_valid
from mmlogo.launch.checks import check_runner, datasets_of, require_checkpoint
from mmlogo.launch.lint import check_overrides
from mmlogo.launch.processes import init_processes

_RUNNER_HOOKS = (
    'runtime_info',
    'timer',
    'sampler_seed',
    'logger',
    'param_scheduler',
    'checkpoint',
)


_NO_BFLOAT16 = (
    '--amp on a CPU is bfloat16, which would move the corners of boxes by pixels; do not '
    'use it for detectors'
)


def prepare(cfg: Config, args: argparse.Namespace) -> Config:
    """Apply the arguments of `add_arguments` to a config, and join the process group."""
    check_runner(cfg)
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
    """Remove hooks that are None. MMEngine itself does so only for its own hooks."""
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None]:
        if name not in _RUNNER_HOOKS:
            del hooks[name]


def set_data_root(cfg: Config, data_root: str) -> None:
    """Let every data set of the config read from `data_root`.

    Raises:
        FileNotFoundError: If `data_root` is no folder.
        ValueError: If no data set of the config reads from a folder.
    """
    if not Path(data_root).expanduser().is_dir():
        raise FileNotFoundError(f'--data-root {data_root} is no folder')
    datasets = list(datasets_of(cfg))
    if not datasets:
        raise ValueError('--data-root was given, but no dataset of this config has one')
    data_root = str(Path(data_root).expanduser())
    # The longest path comes first: data/coco_mini before data.
    before = sorted({str(dataset['data_root']) for dataset in datasets}, reverse=True)
    for dataset in datasets:
        dataset['data_root'] = data_root
    for name in ('val_evaluator', 'test_evaluator'):
        evaluator = cfg.get(name) or []
        for metric in evaluator if isinstance(evaluator, list) else [evaluator]:
            # In mmdet's metrics, paths of annotations begin with the data root.
            for key, value in metric.items():
                old = [r for r in before if _is_below(value, r)]
                if old:
                    metric[key] = str(Path(data_root) / Path(value).relative_to(old[0]))
    if 'data_root' in cfg:
        cfg.data_root = data_root


def _is_below(value: object, folder: str) -> bool:
    # Without this rule every name would be below the folder ''.
    within = Path(folder).parts
    return isinstance(value, str) and bool(within) and Path(value).is_relative_to(folder)


def use_amp(cfg: Config) -> None:
    """Train under autocast: in bfloat16 if the device has it, else in float16.

    Detectors always use float16. mmdet passes boxes to its RoI layers in the precision of
    the features, and bfloat16 rounds a coordinate of 600 to a multiple of four.

    Raises:
        ValueError: If the device or the config's optimiser wrapper does not allow it.
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


def use_compile(cfg: Config) -> None:
    """Compile the network's passes of a training step, as `--compile` says."""
    hook = dict(type='CompileHook', _scope_='mmlogo')
    cfg.merge_from_dict(dict(default_hooks=dict(compile=hook)))


def use_half_precision(cfg: Config) -> None:
    """Evaluate under autocast: our loops in bfloat16, MMEngine's in float16 on CUDA.

    Raises:
        ValueError: If the config is a detector's and the device is a CPU.
    """
    if cfg.get('default_scope') == 'mmdet' and get_device() == 'cpu':
        raise ValueError(_NO_BFLOAT16)
    cfg.test_cfg.fp16 = True


def set_resume(cfg: Config, resume: str | None) -> None:
    """Resume the training, as `--resume` says.

    Args:
        cfg: The config, which is changed.
        resume: '' resumes from the newest checkpoint of the work dir that is whole. 'auto'
            does so too, but starts a new training if there is no checkpoint at all. A
            path resumes from that checkpoint. None does not resume.

    Raises:
        FileNotFoundError: If the checkpoint does not exist. With 'auto' it need not.
        ValueError: If there are checkpoints in the work dir and all are damaged.
    """
    if resume is None:
        return
    cfg.resume = True
    if resume not in ('', 'auto'):
        if not Path(resume).is_file():
            raise FileNotFoundError(f'--resume {resume}: there is no such checkpoint')
        cfg.load_from = resume
        return
    found = [newest_valid(cfg.work_dir) if is_main_process() else None]
    broadcast_object_list(found)
    newest, passed_over = found[0] or Found(None, [])
    for path, why in passed_over:
        print_log(f'--resume passes over {path}: {why}', 'current', logging.WARNING)
    if newest is None and passed_over:
        raise ValueError(
            f'--resume: none of the {len(passed_over)} checkpoints in {cfg.work_dir} is '
            f'whole; the newest: {passed_over[0][1]}'
        )
    if newest is None and resume == '':
        raise FileNotFoundError(
            f'--resume: there is no checkpoint in {cfg.work_dir}; give its path, or use '
            '--resume auto to start a new training if there is none'
        )
    cfg.resume = newest is not None
    cfg.load_from = str(newest) if newest else None


def set_pretrained(
    cfg: Config,
    checkpoint: str | None,
    allow_partial: bool = False,
    prefix: str | None = None,
) -> None:
    """Start the training from a pretrained backbone, as `--pretrained` says.

    Weights that the config itself would download are not loaded then.

    Args:
        cfg: The config, which is changed.
        checkpoint: Path of the checkpoint. None leaves the config as it is.
        allow_partial: With True, tensors of the backbone may be missing in the
            checkpoint. Default: False.
        prefix: Load the network whose names begin with this. Default: None, which finds
            it.

    Raises:
        FileNotFoundError: If `checkpoint` does not exist.
        ValueError: If the other options are given without `checkpoint`, or if the config
            already loads a whole model.
    """
    if checkpoint is None:
        if allow_partial or prefix is not None:
            raise ValueError(
                '--allow-partial and --pretrained-prefix say how --pretrained CKPT is '
                'loaded, and --pretrained was not given'
            )
        for part in _begins_with(cfg):
            print_log(
                f'without --pretrained, training begins with {part["init_cfg"]}: these '
                'weights are downloaded, and most such weights were trained with labels',
                'current',
                logging.WARNING,
            )
        return
    require_checkpoint(checkpoint)
    if cfg.get('load_from') and not cfg.get('resume'):
        raise ValueError(
            f'the config loads a whole model (load_from = {cfg.load_from!r}) and '
            '--pretrained a backbone; choose one: leave --pretrained out, or add '
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
    """Find parts of the trunk whose config names pretrained weights, as in mmdet."""
    model = cfg.get('model') or {}
    parts = (model.get('backbone'), (model.get('roi_head') or {}).get('shared_head'))
    for part in filter(None, parts):
        init = part.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            yield part


def use_scaled_lr(cfg: Config) -> None:
    """Scale every learning rate with the effective batch size.

    Raises:
        ValueError: If the config does not say for which batch size its rates are.
    """
    if 'base_batch_size' not in cfg.get('auto_scale_lr', {}):
        raise ValueError(
            '--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in the '
            'config: the batch its learning rates were chosen for'
        )
    # MMEngine counts the batches of all processes, but not the accumulated ones.
    cfg.auto_scale_lr.base_batch_size /= cfg.optim_wrapper.get('accumulative_counts', 1)
    cfg.auto_scale_lr.enable = True


def set_checkpoint(cfg: Config, checkpoint: str) -> None:
    """Load `checkpoint` and evaluate it.

    Raises:
        FileNotFoundError: If `checkpoint` does not exist.
        ValueError: If the config has no test loop.
    """
    require_checkpoint(checkpoint)
    if cfg.get('test_cfg') is None:
        raise ValueError(
            'this config evaluates nothing (test_cfg is None); add test_cfg, '
            'test_dataloader, test_evaluator and bank_dataloader with labelled images'
        )
    cfg.load_from = checkpoint
