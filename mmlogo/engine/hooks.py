"""Hooks: views shared with the workers, the start's report, speed, progress."""

from __future__ import annotations

import itertools
import math
import resource
import sys

import torch
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook, RuntimeInfoHook
from rich.console import Console
from rich.progress import Progress, TaskID
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.datasets.sampler import EpochSampler
from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.norms import average_statistics, fitted_statistics
from mmlogo.models.parts.schedule import Paced, TrainingLength
from mmlogo.models.parts.shuffle import shuffles_in_vain
from mmlogo.registry import HOOKS
from mmlogo.views.transforms import MultiCrop


@HOOKS.register_module()
class ShareViewsHook(Hook):
    """Give the pipeline's `MultiCrop` the views of the model's preprocessor.

    So a config, and an override, names them in one place. And give the sampler the
    run's seed, which a resume may have changed since the sampler was built. Both
    before the first epoch, and thus before workers exist.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        if isinstance(runner.train_dataloader.sampler, EpochSampler):
            runner.train_dataloader.sampler.seed = runner.seed
        specs = getattr(unwrapped(runner.model).data_preprocessor, 'specs', None)
        pipeline = getattr(runner.train_dataloader.dataset, 'pipeline', None)
        for transform in getattr(pipeline, 'transforms', ()):
            if isinstance(transform, MultiCrop) and specs is not None:
                if transform.specs not in (None, specs):
                    raise ValueError(
                        "the views of the pipeline's MultiCrop differ from those of "
                        'model.data_preprocessor; leave MultiCrop without `views`'
                    )
                transform.specs = specs


@HOOKS.register_module()
class ShareLengthHook(Hook):
    """Tell the model's parts that change with time how long the training is."""

    priority = 'VERY_HIGH'

    def before_train(self, runner) -> None:
        accumulation = runner.optim_wrapper._accumulative_counts
        length = TrainingLength(
            updates=math.ceil(runner.max_iters / accumulation),
            steps_per_epoch=len(runner.train_dataloader),
        )
        for part in unwrapped(runner.model).modules():
            if isinstance(part, Paced):
                part.expect(length)
                if runner.iter == 0:  # no resume: counts may be those of `load_from`
                    part.restart()
                elif runner.iter % accumulation:
                    part.resume_midway()


@HOOKS.register_module()
class AverageStatisticsHook(Hook):
    """Average BatchNorm's running statistics over processes before they are saved.

    Where BatchNorm is per process each has its own, and a checkpoint would have those of
    rank 0 alone. Training does not see it: running statistics are linear in the batches',
    so that their mean, which EMAN's teacher follows, goes on as it would have.
    """

    priority = 'LOW'  # before CheckpointHook

    def after_train_epoch(self, runner) -> None:
        average_statistics(unwrapped(runner.model))

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
        by_step = [hook.interval for hook in saving if not hook.by_epoch]
        last = self.is_last_train_iter(runner)
        if any(last or self.every_n_train_iters(runner, n) for n in by_step):
            average_statistics(unwrapped(runner.model))


@HOOKS.register_module()
class StartReportHook(Hook):
    """Say in the log what is about to be trained, and refuse what cannot be.

    Raises:
        ValueError: If a process has fewer than two samples a step and the model
            normalises over its own batch, or if the loader serves no batch.
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
                "BatchNorm is of the whole batch here, queries' and keys' alike: the loss "
                'can be lowered by reading its statistics (MoCo, section 3.3). Train on '
                "more processes, or with norm_cfg=dict(type='SplitBN', num_splits=8) in "
                'backbone and neck'
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

    MMEngine restores a schedule with the length it had, whatever the config says
    now: the epochs beyond would run at its last rate.
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


@HOOKS.register_module()
class StepInfoHook(RuntimeInfoHook):
    """MMEngine's RuntimeInfoHook, reading all scalars of a step at once.

    MMEngine reads each with a call of its own, and each waits for the GPU.
    """

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if outputs:
            values = torch.stack([value.detach().float() for value in outputs.values()])
            for name, value in zip(outputs, values.tolist(), strict=True):
                runner.message_hub.update_scalar(f'train/{name}', value)


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


@HOOKS.register_module()
class ValidateFirstHook(Hook):
    """Run the validation loop once before the first step of a new run.

    The first point of the k-NN curve is then the untrained network, fairly: its
    BatchNorm statistics are fitted to some training views first, and put back after.
    Without that, much of what training seems to gain would be these statistics
    (on `PhotoTiles` 68 to 80 per cent at k 1, with all weights as they were drawn).

    Args:
        fit_batches: Training batches the statistics are fitted to.
    """

    priority = 'LOWEST'

    def __init__(self, fit_batches: int = 20) -> None:
        self.fit_batches = fit_batches

    def before_train(self, runner) -> None:
        if runner.iter == 0 and isinstance(runner.val_loop, KNNLoop):
            model = unwrapped(runner.model)
            sources = {metric.features for metric in runner.val_evaluator.metrics}
            evaluated = [model.backbone] + ([model.neck] if 'neck' in sources else [])
            runner.logger.info('Evaluating the untrained network first')
            with fitted_statistics(*evaluated) as count_view:
                model.train()
                for data in itertools.islice(runner.train_dataloader, self.fit_batches):
                    views = model.data_preprocessor(data, True)['inputs']
                    for x in [views] if isinstance(views, Tensor) else views:
                        with torch.no_grad():
                            count_view()
                            nn.Sequential(*evaluated)(x)
                runner.val_loop.run()


@HOOKS.register_module()
class ProgressHook(Hook):
    """A progress bar on the terminal; a line every tenth where there is none."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def before_train(self, runner) -> None:
        if is_main_process() and sys.stderr.isatty():
            self._bar = Progress(console=Console(stderr=True))
            self._task = self._bar.add_task('training', total=runner.max_iters)
            self._bar.start()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        done, total = runner.iter + 1, runner.max_iters
        speed = runner.message_hub.get_scalar('train/images_per_s').current()
        text = f'epoch {runner.epoch + 1}/{runner.max_epochs}, {speed:.0f} images/s'
        if self._bar is not None:
            self._bar.update(self._task, completed=done, description=text)
        elif is_main_process() and done * 10 // total > (done - 1) * 10 // total:
            print(f'{100 * done // total:3d} % ({text})', file=sys.stderr, flush=True)

    def after_train(self, runner) -> None:
        if self._bar is not None:
            self._bar.stop()
