"""A hook that logs what is about to be trained, or refuses it."""

from __future__ import annotations

import torch
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.optim import LinearParamScheduler
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.shuffle import shuffles_in_vain
from mmlogo.registry import HOOKS


@HOOKS.register_module()
class StartReportHook(Hook):
    """Log what is about to be trained, and refuse what cannot be trained.

    Raises:
        ValueError: When training starts, if the training set has no full batch, if there
            are fewer global views than the model needs, if BatchNorm would normalise over
            fewer than two samples, or if a resumed schedule is too short.
    """

    priority = 'LOW'

    def before_train(self, runner) -> None:
        loader, model = runner.train_dataloader, unwrapped(runner.model)
        if runner.iter >= runner.max_iters:
            runner.logger.warning(
                f'Nothing to train: the checkpoint is at the end, epoch {runner.epoch} of '
                f'{runner.max_epochs}; evaluate it with tools/test.py'
            )
        per_process = loader.batch_size or loader.batch_sampler.batch_size
        accumulation = runner.optim_wrapper._accumulative_counts
        if not len(loader):
            raise ValueError(
                f'the training set of {len(loader.dataset)} images on '
                f'{runner.world_size} processes has no full batch of {per_process} per '
                'process; lower the batch size'
            )
        preprocessor = model.data_preprocessor
        views = getattr(preprocessor, 'num_globals', 2)
        if views < getattr(preprocessor, 'min_globals', 2):
            raise ValueError(
                f'{views} global view per image, but pulling needs at least 2; raise the '
                '`count` of the global views'
            )
        refuse_spent_schedules(runner)
        refuse_short_warm_ups(runner)
        norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        if per_process * runner.world_size < 2 or (
            per_process < 2 and any(type(norm) is nn.BatchNorm2d for norm in norms)
        ):
            raise ValueError(
                f'{per_process} sample per process and step, but BatchNorm needs at '
                'least 2; raise the batch size or use fewer processes'
            )
        if shuffles_in_vain(model):
            runner.logger.warning(
                'BatchNorm normalises queries and keys over the whole batch here, so the '
                'model can lower the loss by reading batch statistics (MoCo, section 3.3). '
                'Train on more processes, or with '
                "norm_cfg=dict(type='SplitBN', num_splits=8) in backbone and neck"
            )
        rates = sorted(
            {
                (group.get('initial_lr', group['lr']), bool(group.get('hold_lr')))
                for group in runner.optim_wrapper.param_groups
            }
        )
        runner.logger.info(
            'Training '
            + ', '.join(
                (
                    type(model).__name__,
                    f'{sum(p.numel() for p in model.parameters() if p.requires_grad):,} '
                    'trainable parameters',
                    f'{len(loader.dataset):,} images',
                    f'effective batch {per_process * runner.world_size * accumulation} '
                    f'({per_process} x {runner.world_size} processes x {accumulation} '
                    'accumulated)',
                    'lr '
                    + ', '.join(f'{lr:g}{" held" if held else ""}' for lr, held in rates),
                    f'views {describe_views(preprocessor)}',
                    f'device {describe_device()}',
                    f'optimiser {type(runner.optim_wrapper).__name__}',
                )
            )
        )


def refuse_spent_schedules(runner) -> None:
    """Raise ValueError if a resumed schedule ends before the training does.

    MMEngine restores a schedule with its former length and ignores the config's new one.
    Later epochs would keep the schedule's last learning rate.
    """
    for schedule in runner.param_schedulers or ():
        length = getattr(schedule, 'T_max', None)
        if runner.iter and length:
            end = schedule.begin + length
            unit, limit = (
                ('epoch', runner.max_epochs)
                if schedule.by_epoch
                else ('iteration', runner.max_iters)
            )
            if end < limit:
                raise ValueError(
                    f'the resumed {type(schedule).__name__} ends at {unit} {end} and '
                    f'training at {unit} {limit}; resume with the length it had, or '
                    'start a new run from the weights with load_from'
                )


def refuse_short_warm_ups(runner) -> None:
    """Refuse a linear schedule of one step, whose first rate would stay.

    Whether a warm-up of an epoch has more than one step is known only here.

    Raises:
        ValueError: If MMEngine would keep the first rate of a schedule for ever.
    """
    for schedule in runner.param_schedulers or ():
        if (
            isinstance(schedule, LinearParamScheduler)
            and schedule.total_iters < 1
            and schedule.start_factor != schedule.end_factor
        ):
            raise ValueError(
                f'{type(schedule).__name__} lasts one step, and MMEngine keeps the first '
                f'rate of one that short, {schedule.start_factor:g} of the full one, for '
                'ever; let it last two steps at least, or take it out of param_scheduler'
            )


def describe_views(preprocessor: nn.Module) -> str:
    specs = getattr(preprocessor, 'specs', None)
    if specs is None:
        return 'by the pipeline'
    kinds = dict.fromkeys(specs)
    return ' + '.join(
        f'{spec.count} {spec.role} {spec.size}px of {spec.scale[0]:g}-{spec.scale[1]:g}'
        for spec in kinds
    )


def describe_device() -> str:
    if get_device() == 'cuda':
        return torch.cuda.get_device_name()
    return f'{get_device()} ({torch.get_num_threads()} threads)'
