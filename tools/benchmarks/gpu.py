"""Time the parts of a training on the device that is here: CUDA, or a CPU in small.

Every config is trained for two epochs by its own Runner, hooks and log included. The
second epoch is timed from its first batch to its last step. Around it the parts are timed
by themselves: `step` (forward, backward, optimiser) on one batch of real views, `views`
(loader and preprocessor), `evaluation` (the config's validation). `bare` is a plain loop of
torch over the same network and views: no hooks, no log, no checks, channels_last. It knows
the two cosine methods. All rates are source images a second; `of bare` is end to end over
bare. `waits` are the places in a step where Python waits for the GPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from benchmarks import rounds
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmlogo import launch
from mmlogo.arguments import Overrides
from mmlogo.config import load_config
from mmlogo.engine.hooks import CompileHook
from mmlogo.engine.hooks.provenance import commit, hardware

CONFIGS = (
    'configs/simsiam_r18_cifar10.py',
    'configs/simsiam_logo_r18_cifar10.py',
    'configs/moco_r18_cifar10.py',
    'configs/moco_logo_r18_cifar10.py',
)
COLUMNS = ('end to end', 'step', 'views', 'bare', 'of bare', 'evaluation', 'memory MiB')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('configs', nargs='*', default=CONFIGS)
    parser.add_argument('--data-root', help='folder of the data set')
    parser.add_argument('--work-dir', default='work_dirs/benchmark', help='of all results')
    parser.add_argument('--per-class', type=int, help='train on so many images a class')
    parser.add_argument('--steps', type=int, default=40, help='of step, views and bare')
    parser.add_argument('--no-amp', action='store_true', help='float32; default: --amp')
    parser.add_argument('--compile', action='store_true', help='compile both networks')
    parser.add_argument(
        '--cfg-options', nargs='+', action=Overrides, default={}, metavar='K=V'
    )


def timed(work: Callable[[], object], steps: int) -> list[float]:
    """Seconds of each of `steps` calls, after three that are not counted."""
    return [rounds.measured(work)[0] for _ in range(3 + steps)][3:]


def rate(images: int, seconds: list[float]) -> float:
    return images / sorted(seconds)[len(seconds) // 2]


class Stopwatch(Hook):
    """Times epochs."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def before_train_epoch(self, runner) -> None:
        rounds.synchronise()
        self.start = time.perf_counter()

    def after_train_epoch(self, runner) -> None:
        rounds.synchronise()
        self.seconds.append(time.perf_counter() - self.start)


class EnoughError(Exception):
    """What was to be measured in a training has been measured."""


class AtStart(Hook):
    priority = 'LOWEST'

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work

    def before_train(self, runner) -> None:
        self.work()
        raise EnoughError


def at_start(runner: Runner, work: Callable[[], object]) -> None:
    """Call `work` when the training is ready for its first step, and train no further."""
    runner.register_hook(AtStart(work), priority='LOWEST')
    with suppress(EnoughError):
        runner.train()


@contextmanager
def waits_listed(found: Counter) -> Iterator[None]:
    """Count the places that wait for the GPU, by file, line and function."""
    if not torch.cuda.is_available():
        yield
        return

    def note(message, category, filename, lineno, file=None, line=None) -> None:
        if 'synchronizing' in str(message):
            stack = [f for f in traceback.extract_stack() if 'benchmarks' not in f.filename]
            last = ([f for f in stack if '/mmlogo/' in f.filename] or stack)[-1]
            found[f'{Path(last.filename).name}:{last.lineno} {last.name}'] += 1

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode('default')


def build(config: str, args: argparse.Namespace, epochs: int = 2) -> Runner:
    name = Path(config).stem
    space = argparse.Namespace(
        config=config,
        work_dir=f'{args.work_dir}/{name}',
        data_root=args.data_root,
        cfg_options=dict(args.cfg_options),
        launcher='none',
        local_rank='0',
    )
    cfg = launch.prepare(load_config(config), space)
    launch.divide_global_batch(cfg)
    if not args.no_amp:
        launch.use_amp(cfg)
    if args.compile:
        launch.use_compile(cfg)
    cfg.experiment_name = f'{name}_{time.time_ns()}'
    cfg.train_cfg.max_epochs = epochs
    cfg.train_cfg.val_begin = 100
    cfg.default_hooks.checkpoint = dict(type='DurableCheckpointHook', interval=100)
    cfg.default_hooks.validate_first = None
    if args.per_class:
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.bank_dataloader):
            loader.dataset.per_class = args.per_class
    launch.drop_hooks(cfg)
    return Runner.from_cfg(cfg)


def bare_loop(
    model: nn.Module, *, amp: bool, compiled: bool = False, layout=torch.channels_last
) -> Callable[[list[Tensor]], Tensor] | None:
    """A step in plain torch: the cosine of each prediction with each global view.

    It trains the modules of `model` and returns its loss. None for other methods.
    """
    head = model.head
    predictor = getattr(getattr(head, 'pull', head), 'predictor', None)
    if predictor is None or hasattr(model, 'teacher'):
        return None
    encoder = nn.Sequential(model.backbone, model.neck).to(memory_format=layout)
    encoder = torch.compile(encoder) if compiled else encoder
    count = getattr(model.data_preprocessor, 'num_globals', 2)
    parameters = [*encoder.parameters(), *predictor.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step(inputs: list[Tensor]) -> Tensor:
        inputs = [x.contiguous(memory_format=layout) for x in inputs]
        optimizer.zero_grad()
        with torch.autocast(inputs[0].device.type, torch.bfloat16, enabled=amp):
            z = [encoder(x)[0] for x in inputs]
            p = [predictor([one])[0] for one in z]
        losses = [
            -F.cosine_similarity(p[a].float(), z[b].detach().float()).mean()
            for a, b in itertools.product(range(len(z)), range(count))
            if a != b
        ]
        loss = torch.stack(losses).mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def measure(config: str, args: argparse.Namespace) -> dict[str, Any]:
    runner = build(config, args)
    watch = Stopwatch()
    runner.register_hook(watch)
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    runner.train()
    loader, model = runner.train_dataloader, runner.model
    images = loader.batch_size * len(loader)
    found = dict(config=Path(config).stem, batch=loader.batch_size)
    found['end to end'] = images / watch.seconds[-1]
    found['first epoch s'] = watch.seconds[0]
    if torch.cuda.is_available():
        found['memory MiB'] = torch.cuda.max_memory_allocated() / 2**20

    batches = itertools.cycle(loader)
    preprocess = model.data_preprocessor
    n = loader.batch_size
    views = timed(lambda: preprocess(next(batches), True), args.steps)
    found['views'] = rate(n, views)
    batch = preprocess(next(batches), True)
    wrapper = runner.optim_wrapper

    def step() -> None:
        with wrapper.optim_context(model):
            losses = model(**batch, mode='loss')
        wrapper.update_params(model.parse_losses(losses)[0])

    model.train()
    compilers = [hook for hook in runner.hooks if isinstance(hook, CompileHook)]
    for hook in compilers:  # its work ended with the training
        hook.before_train(runner)
    found['step'] = rate(n, timed(step, args.steps))
    for hook in compilers:
        hook.after_train(runner)
    waits: Counter[str] = Counter()
    with waits_listed(waits):
        for index in range(2):
            data = next(batches)
            runner.call_hook('before_train_iter', batch_idx=index, data_batch=data)
            outputs = model.train_step(data, wrapper)
            runner.train_loop._iter += 1
            runner.call_hook(
                'after_train_iter', batch_idx=index, data_batch=data, outputs=outputs
            )
    found['waits'] = {place: count / 2 for place, count in waits.items()}
    evaluation, _ = rounds.measured(runner.val_loop.run)
    seen = sum(
        len(x.dataset)
        for x in (runner.val_loop.dataloader, runner.val_loop.bank_dataloader)
    )
    found['evaluation'] = seen / evaluation
    amp = type(wrapper).__name__ != 'OptimWrapper'
    if bare := bare_loop(model, amp=amp, compiled=args.compile):
        found['bare'] = rate(n, timed(lambda: bare(batch['inputs']), args.steps))
        found['of bare'] = found['end to end'] / found['bare']
    return found


def table(rows: list[dict]) -> str:
    def shown(value: object) -> str:
        if not isinstance(value, float):
            return '-' if value is None else str(value)
        return f'{value:.2f}' if value < 10 else f'{value:,.0f}'

    names = ('config', 'batch', *COLUMNS)
    lines = [names, ['---'] * len(names), *([shown(r.get(n)) for n in names] for r in rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def run(args: argparse.Namespace) -> None:
    folder = Path(args.work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    origin = dict(hardware=hardware(), commit=commit(), torch=torch.__version__)
    rows = []
    for config in args.configs:
        try:
            rows.append(measure(config, args))
        except Exception:
            traceback.print_exc()
            rows.append(dict(config=Path(config).stem, error=traceback.format_exc()))
        (folder / 'gpu.json').write_text(json.dumps([origin, rows], indent=1))
    text = f'{origin}\n\n{table(rows)}\n'
    for row in rows:
        text += f'\n{row["config"]}, waits a step: {row.get("waits")}'
    (folder / 'gpu.md').write_text(text)
    print(text)
    if any('error' in row for row in rows):
        raise SystemExit(1)
