r"""Compare trainings over seeds: tools/compare.py A.py B.py ... --seeds 0 1 2.

An arm is a config, or finished work dirs. The first arm is the reference:

    tools/compare.py moco=configs/moco_r18w16_cifar10_5k.py \
        logo=configs/moco_logo_r18w16_cifar10_5k.py --options moco model.symmetric=True \
        --seeds 0 1 2 --budget 30 --amp --data-root DIR --work-dir work_dirs/study

    tools/compare.py moco='work_dirs/moco_s*' logo='work_dirs/logo_s*'

Runs that are missing are trained, one process of one thread on each core. The same command
goes on after any interruption. It writes compare.md, compare.json and compare.png.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import glob
import hashlib
import json
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Literal, NamedTuple

from mmengine.config import Config
from mmengine.logging import MMLogger
from rich.console import Console
from rich.table import Table

if __name__ == '__main__':  # hide what packages print while they are imported
    warnings.filterwarnings('ignore')
    MMLogger.get_instance('mmengine', log_level='ERROR')

with contextlib.redirect_stdout(None if __name__ == '__main__' else sys.stdout):
    from mmlogo import launch
    from mmlogo.config import config_path, load_config
    from mmlogo.engine.interrupts import EXIT_CODE
    from mmlogo.launch.budget import (
        Demand,
        equal_batches,
        line_through,
        multiple_of,
        shares,
    )
    from mmlogo.launch.lint import check_keys
    from mmlogo.launch.pinned import Job, Outcome, check_cores, run_pinned, usable_cores
    from mmlogo.report.comparison import (
        COLUMNS,
        METRIC,
        Arm,
        cells_of,
        difference_of,
        draw_curves_of,
        markdown,
        summarise,
    )
    from mmlogo.runs import Run, logs_of, read_run

TRAIN = Path(__file__).resolve().with_name('train.py')
PATIENCE = 120.0  # seconds for the end of a training that was told to end
EVERY = 60.0  # seconds between two lines of progress, where there is no terminal
LOG = 'compare.log'  # what a training prints, in its work dir


class Source(NamedTuple):
    """Where the runs of an arm come from: a config with its options, or work dirs."""

    name: str
    config: str  # empty if there are work dirs
    work_dirs: list[Path]
    options: list[str]


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'arms',
        nargs='+',
        metavar='[NAME=]PATH',
        help='a config; a work dir; a folder with work dirs seed_*; or a pattern of work '
        'dirs. Work dirs of one NAME are one arm. Default name: that of the file',
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[], metavar='SEED')
    parser.add_argument(
        '--options',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', 'KEY=VALUE'),
        help='override values of the config of one arm; may be given for each',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override values of every config',
    )
    parser.add_argument(
        '--budget',
        type=float,
        metavar='CPU_MINUTES',
        help='give every run this processor time and the same number of updates: the batch '
        'and the rate are chosen; default: run the configs as they are',
    )
    parser.add_argument('--metric', nargs='+', default=[METRIC], help=f'default: {METRIC}')
    parser.add_argument('--amp', action='store_true', help='train in mixed precision')
    parser.add_argument('--data-root', help='read every data set from this folder')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=Path('work_dirs/compare'),
        help='folder for the runs, ARM/seed_S; default: work_dirs/compare',
    )
    parser.add_argument(
        '--out', type=Path, help='folder for the results; default: that of --work-dir'
    )
    parser.add_argument(
        '--cores',
        nargs='+',
        type=int,
        metavar='CORE',
        help='train on these cores; default: all that this process may use',
    )
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        return compare(args)
    except (ValueError, OSError) as error:
        print(f'compare: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            'compare: interrupted; the trainings have saved what they had, and the same '
            'command goes on',
            file=sys.stderr,
        )
        return 130


def compare(args: argparse.Namespace) -> int:
    """Train what is missing, write the results, and return the exit status.

    Raises:
        ValueError, OSError: If an argument is wrong, or runs cannot be compared.
    """
    cores = args.cores or usable_cores()
    check_cores(cores)
    sources = sources_of(args.arms, args.options)
    configs = [source for source in sources if source.config]
    if len(set(args.seeds)) < len(args.seeds):
        raise ValueError(f'--seeds {args.seeds}: give every seed once')
    if configs and not args.seeds:
        raise ValueError(
            f'{configs[0].config} is a config, and nothing says which seeds to train; give '
            '--seeds 0 1 2'
        )
    if args.budget is not None and not args.budget > 0:
        raise ValueError(f'--budget {args.budget:g}: give CPU minutes above 0')
    finished = {s.name: read_arm(s, args.seeds) for s in sources if s.work_dirs}
    for source in configs:
        prepared(source, words_of(source, args))  # what is wrong is said before hours pass
    console = Console(soft_wrap=True, highlight=False)
    plan = None
    if args.budget is not None and configs:
        plan = planned(configs, args, cores, console)
        show_plan(plan, console)
    results = train(configs, plan, args, cores, console)
    arms = [finished.get(s.name) or results[s.name] for s in sources]
    if not any(arm.runs for arm in arms):
        raise ValueError('no arm has a run that reached its end, so there is no table')
    out = args.out or args.work_dir
    result = summarise(arms, args.metric, plan)
    out.mkdir(parents=True, exist_ok=True)
    draw_curves_of(arms, args.metric, out / 'compare.png')
    (out / 'compare.json').write_text(json.dumps(result, indent=1) + '\n')
    (out / 'compare.md').write_text(markdown(result), encoding='utf-8')
    show(result, console)
    print(f'compare: {", ".join(str(out / f"compare.{x}") for x in ("md", "json", "png"))}')
    return int(any(arm.missing for arm in results.values()))


def sources_of(words: Sequence[str], options: Sequence[Sequence[str]]) -> list[Source]:
    """Return the arms that the command line names.

    Raises:
        ValueError: If a name is unfit for a folder or is given twice, or an option is of no
            config.
        FileNotFoundError: If there is nothing at a path.
    """
    found: dict[str, Source] = {}
    for word in words:
        name, named, path = word.partition('=')
        path = path if named else word
        folders = folders_at(path)
        name = (
            name if named else Path(path.removeprefix('mmlogo::')).name.removesuffix('.py')
        )
        if not re.fullmatch(r'[\w+-][\w.+-]*', name):
            raise ValueError(
                f'an arm is called {name!r}, and its name is that of a folder; give '
                'letters, digits and . _ + - as in NAME=PATH'
            )
        source = found.get(name)
        if source is not None and (not named or not folders or source.config):
            raise ValueError(
                f'two arms are called {name}; give each a name, as in NAME=PATH. Several '
                'work dirs are one arm if all have the same NAME=, and a config is an arm '
                'of its own'
            )
        if not folders:
            config_path(path)
        source = found.setdefault(name, Source(name, '' if folders else path, [], []))
        source.work_dirs.extend(folders)
    for name, *values in options:
        if name not in found or not found[name].config:
            raise ValueError(
                f'--options {name} ..., but no config has this name; give one of '
                f'{[s.name for s in found.values() if s.config]}'
            )
        found[name].options.extend(values)
    for value in (v for source in found.values() for v in source.options):
        if '=' not in value:
            raise ValueError(f'--options ... {value}: give NAME KEY=VALUE [KEY=VALUE ...]')
    return list(found.values())


def folders_at(path: str) -> list[Path]:
    """Return the work dirs at a path, none if it names a config.

    Raises:
        FileNotFoundError: If a pattern fits nothing, or a folder is no work dir.
    """
    if '::' in path:
        return []
    if glob.has_magic(path):
        found = [Path(x) for x in sorted(glob.glob(path)) if Path(x).is_dir()]
        if not found:
            raise FileNotFoundError(f'no folder fits {path}; give work dirs that are there')
        return found
    folder = Path(path)
    if not folder.is_dir():
        return []
    if any(folder.glob('*/vis_data/scalars.json')):
        return [folder]
    found = sorted(folder.glob('seed_*'))
    if not found:
        logs_of(folder)  # raises, and says what is expected
    return found


def read_arm(source: Source, seeds: Sequence[int]) -> Arm:
    """Read the work dirs of an arm.

    Args:
        source: The arm.
        seeds: The seeds that are wanted; without any, all that there are.

    Raises:
        ValueError: If two runs have one seed, or a run has none.
    """
    runs: dict[int, Run] = {}
    missing = dict.fromkeys(seeds, 'no work dir has it')
    for folder in source.work_dirs:
        run = read_run(folder)
        seed = run.seed
        if seed is None:
            raise ValueError(
                f'{folder} does not say its seed, neither in runs.jsonl nor in its config; '
                'give work dirs as tools/train.py left them'
            )
        if seeds and seed not in seeds:
            continue
        if seed in runs:
            raise ValueError(
                f'{runs[seed].folder} and {folder} of the arm {source.name} both have seed '
                f'{seed}; give one of them, or two arms'
            )
        missing.pop(seed, None)
        if run.complete:
            runs[seed] = run
        else:
            missing[seed] = f'it stopped at {run.unit} {run.done}; resume it'
    return Arm(source.name, runs, missing)


def words_of(
    source: Source, args: argparse.Namespace, options: Sequence[str] = (), seed: int = 0
) -> list[str]:
    """Return the arguments of tools/train.py after the config, without the work dir."""
    words = ['--cfg-options', f'randomness.seed={seed}', *args.cfg_options]
    words += [*source.options, *options]
    words += [] if args.data_root is None else ['--data-root', args.data_root]
    return words + (['--amp'] if args.amp else [])


def words_of_share(
    source: Source, args: argparse.Namespace, share: Mapping[str, Any], seed: int
) -> list[str]:
    """Return the arguments as `words_of`, with what a budget gives to the arm."""
    options = [
        f'train_dataloader.batch_size={share["batch"]}',
        f'train_cfg.max_epochs={share["epochs"]}',
        f'train_cfg.val_interval={share["interval"]}',
    ]
    return [*words_of(source, args, options, seed), '--auto-scale-lr']


def prepared(source: Source, words: Sequence[str]) -> Config:
    """Return the config that tools/train.py would train, and check it.

    Raises:
        ValueError, OSError: As the checks do.
    """
    parser = argparse.ArgumentParser()
    launch.add_arguments(parser)
    parser.add_argument('--amp', action='store_true')
    parser.add_argument('--auto-scale-lr', action='store_true')
    args = parser.parse_args([source.config, *words])
    cfg = launch.prepare(load_config(args.config), args)
    launch.divide_global_batch(cfg)
    if args.amp:
        launch.use_amp(cfg)
    if args.auto_scale_lr:
        launch.use_scaled_lr(cfg)
    check_keys(cfg)
    launch.check_schedules(cfg)
    launch.check_data_roots(cfg)
    return cfg


def planned(
    sources: Sequence[Source],
    args: argparse.Namespace,
    cores: Sequence[int],
    console: Console,
) -> dict[str, Any]:
    """Choose batch, rate and epochs of every arm, from measured costs of a step.

    Measurements are kept in `costs` of the work dir. So a resumed comparison has the same
    plan.

    Raises:
        ValueError: If a model refuses a batch, or the budget is too small.
    """
    configs = {source.name: prepared(source, words_of(source, args)) for source in sources}
    for name, cfg in configs.items():
        launch.use_scaled_lr(copy.deepcopy(cfg))  # says if it cannot be scaled
        refuse_what_no_budget_counts(name, cfg)
    batches = {name: cfg.train_dataloader.batch_size for name, cfg in configs.items()}
    multiples = {name: multiple_of(cfg) for name, cfg in configs.items()}
    halves = {
        name: max(1, batch // 2 // multiples[name]) * multiples[name]
        for name, batch in batches.items()
    }
    wanted = {name: {batches[name], halves[name]} for name in configs}
    costs = measured(sources, configs, wanted, args, cores, console)
    demands = {}
    for name, cfg in configs.items():
        full = costs[name][batches[name]]
        demands[name] = Demand(
            line_through({batch: cost['seconds'] for batch, cost in costs[name].items()}),
            batches[name],
            multiples[name],
            full['images'],
            cfg.train_dataloader.get('drop_last', False),
            full['evaluation'],
            cfg.train_cfg.max_epochs,
            cfg.train_cfg.get('val_interval', 1),
            cfg.default_hooks.get('validate_first') is not None,
        )
    chosen = equal_batches(demands)
    wanted = {name: {batch} for name, batch in chosen.items()}
    costs = measured(sources, configs, wanted, args, cores, console)
    seconds = {name: costs[name][batch]['seconds'] for name, batch in chosen.items()}
    arms = {}
    for name, share in shares(demands, chosen, seconds, args.budget).items():
        cfg = configs[name]
        effective = share.batch * cfg.optim_wrapper.get('accumulative_counts', 1)
        ratio = effective / cfg.auto_scale_lr.base_batch_size
        arms[name] = share._asdict() | dict(
            rate=cfg.optim_wrapper.optimizer.lr * ratio, step_seconds=seconds[name]
        )
    return dict(minutes=args.budget, arms=arms)


def refuse_what_no_budget_counts(name: str, cfg: Config) -> None:
    """Raise ValueError if processes or batches of an arm would be left out of its cost."""
    workers = cfg.train_dataloader.get('num_workers', 0)
    if workers:
        raise ValueError(
            f'{name} has {workers} workers, and --budget counts the processor time of the '
            'training alone; give --cfg-options train_dataloader.num_workers=0'
        )
    if cfg.optim_wrapper.get('accumulative_counts', 1) > 1:
        raise ValueError(
            f'{name} accumulates gradients, and --budget gives every arm as many batches; '
            'take optim_wrapper.accumulative_counts out'
        )


def measured(
    sources: Sequence[Source],
    configs: Mapping[str, Config],
    wanted: Mapping[str, set[int]],
    args: argparse.Namespace,
    cores: Sequence[int],
    console: Console,
) -> dict[str, dict[int, dict]]:
    """Measure what a step costs, where it is not known: arm -> batch -> cost.

    All measurements share one core, one after the other, so that none disturbs another.

    Raises:
        ValueError: If one fails. The message ends with the last line of its log.
    """
    files, jobs = {}, []
    for source in sources:
        # what a cost depends on, so that another option is measured anew
        parts = [configs[source.name].get(key) for key in ('model', 'optim_wrapper')]
        parts += [configs[source.name].train_dataloader.dataset, args.amp]
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:8]
        for batch in sorted(wanted[source.name]):
            stem = args.work_dir / 'costs' / f'{source.name}_{batch}_{digest}'
            files[source.name, batch] = stem.with_suffix('.json')
            words = words_of(source, args, [f'train_dataloader.batch_size={batch}'])
            command = [sys.executable, '-m', 'mmlogo.launch.cost', source.config]
            command += [str(files[source.name, batch]), *words]
            jobs.append(
                Job(f'{source.name}, batch {batch}', command, stem.with_suffix('.log'))
            )
    jobs = [
        job for job, file in zip(jobs, files.values(), strict=True) if not file.is_file()
    ]
    for job in jobs:
        job.log.unlink(missing_ok=True)
        console.print(f'to measure on a few steps: {job.name}')
    for name, outcome in run_pinned(jobs, cores[:1], every=0.2).items():
        if outcome.code:
            raise ValueError(
                f'the cost of a step of {name} cannot be measured, and a batch with equal '
                f'cost is needed for --budget: {outcome.last[-1] if outcome.last else "?"}'
                f'. What it asks for can be given by --options {name.partition(",")[0]} '
                'KEY=VALUE'
            )
    costs: dict[str, dict[int, dict]] = {}
    for (name, batch), file in files.items():
        costs.setdefault(name, {})[batch] = json.loads(file.read_text())
    return costs


def show_plan(plan: Mapping[str, Any], console: Console) -> None:
    """Print the batches, rates and epochs that were chosen."""
    table = Table(title=f'{plan["minutes"]:g} CPU minutes for every run, equal updates')
    table.add_column('arm')
    for name in ('batch', 'rate', 'epochs', 'updates', 'ms a step', 'CPU min, expected'):
        table.add_column(name, justify='right')
    for name, arm in plan['arms'].items():
        table.add_row(
            name,
            str(arm['batch']),
            f'{arm["rate"]:.4g}',
            str(arm['epochs']),
            f'{arm["updates"]:,}',
            f'{1000 * arm["step_seconds"]:.0f}',
            f'{arm["minutes"]:.1f}',
        )
    console.print(table)


def train(
    sources: Sequence[Source],
    plan: Mapping[str, Any] | None,
    args: argparse.Namespace,
    cores: Sequence[int],
    console: Console,
) -> dict[str, Arm]:
    """Train the runs that are missing: all arms of a seed, then the next seed.

    Raises:
        ValueError: If a run in the work dir is of another config or other options.
        FileExistsError: If another training is writing to a work dir.
    """
    jobs, folders, totals = [], {}, {}
    for seed in args.seeds:
        for source in sources:
            name = f'{source.name}/seed_{seed}'
            folder = args.work_dir / source.name / f'seed_{seed}'
            words = (
                words_of_share(source, args, plan['arms'][source.name], seed)
                if plan
                else words_of(source, args, seed=seed)
            )
            cfg = prepared(source, words)
            run = read_if_there(folder)
            if run is not None:
                key = difference_of(run, cfg)
                if key:
                    raise ValueError(
                        f'{folder} has a run of another config or other options: it '
                        f'differs in {key}; choose another --work-dir or another NAME=, or '
                        'remove it'
                    )
            folders[name], totals[name] = folder, cfg.train_cfg.get('max_epochs')
            if run is None or not run.complete:
                command = [sys.executable, str(TRAIN), source.config, *words]
                command += ['--work-dir', str(folder), '--resume', 'auto']
                jobs.append(Job(name, command, folder / LOG))
    for job in jobs:
        wait_for(job.log.parent, console)
    budget = plan['minutes'] if plan else None
    progress = Progress(folders, totals, [job.name for job in jobs], budget, console)
    outcomes = run_pinned(jobs, cores, progress.tick, progress.ended)
    progress.close()
    arms = {}
    for source in sources:
        runs, missing = {}, {}
        for seed in args.seeds:
            name = f'{source.name}/seed_{seed}'
            run = read_if_there(folders[name])
            if run is not None and run.complete:
                runs[seed] = run
            else:
                missing[seed] = reason(outcomes[name])
        arms[source.name] = Arm(source.name, runs, missing)
    return arms


def read_if_there(folder: Path) -> Run | None:
    """Read a work dir, None if nothing was logged there yet."""
    try:
        return read_run(folder)
    except (FileNotFoundError, ValueError):
        return None


def wait_for(folder: Path, console: Console) -> None:
    """Wait for the end of a training that an earlier, killed comparison has left.

    Raises:
        FileExistsError: If it does not end.
    """
    begun = time.monotonic()
    while (holder := launch.holder_of(folder)) is not None:
        if time.monotonic() - begun > PATIENCE:
            raise FileExistsError(
                f'{folder} is being written by a training ({holder}); wait for its end, or '
                'choose another --work-dir'
            )
        if time.monotonic() - begun < 1:
            console.print(f'{folder}: waiting for the end of {holder}')
        time.sleep(1)


def reason(outcome: Outcome) -> str:
    """Return why a run did not reach its end."""
    last = outcome.last[-1] if outcome.last else 'it printed nothing'
    if outcome.code == EXIT_CODE:
        return 'a signal interrupted it; the same command goes on'
    if outcome.code < 0:
        return f'signal {-outcome.code} ended it; the same command goes on'
    return f'it failed: {last}'


class Progress:
    """Shows how many runs are done, the present epochs, and the CPU minutes left."""

    def __init__(
        self,
        folders: Mapping[str, Path],
        totals: Mapping[str, int | None],
        todo: Sequence[str],
        budget: float | None,
        console: Console,
    ) -> None:
        self.folders, self.totals, self.todo = folders, totals, list(todo)
        self.budget, self.console = budget, console
        self.began: dict[str, float] = {}  # name -> share done when it was started
        self.minutes: dict[str, float] = {}  # name -> CPU minutes of a whole run
        self.failed = 0
        self.shown = -EVERY
        for name in folders:
            self._learn(name)
        self.status = console.status('') if console.is_terminal and todo else None
        if self.status:
            self.status.start()

    def _learn(self, name: str) -> None:
        run = read_if_there(self.folders[name])
        cost = run.cost() if run is not None and run.complete else None
        if cost is not None:
            self.minutes[name] = cost.seconds / 60

    def share(self, name: str) -> float:
        """Return which part of a run is done, in [0, 1]."""
        run, total = read_if_there(self.folders[name]), self.totals[name]
        return min(1.0, run.done / total) if run is not None and total else 0.0

    def left(self, running: Mapping[str, float]) -> float | None:
        """Return the CPU minutes that are left, None if nothing tells yet.

        A whole run costs what others of its arm did, what its present pace says, or the
        budget, in this order; else the mean of what is known of other arms.
        """
        whole: dict[str, list[float]] = {}
        for name, minutes in self.minutes.items():
            whole.setdefault(Path(name).parent.name, []).append(minutes)
        shares = {name: self.share(name) for name in self.todo}
        for name, seconds in running.items():
            gained = shares[name] - self.began.setdefault(name, shares[name])
            arm = Path(name).parent.name
            if gained > 0 and arm not in whole:
                whole[arm] = [seconds / 60 / gained]
        known = {arm: mean(values) for arm, values in whole.items()}
        other = self.budget or (mean(known.values()) if known else None)
        left = 0.0
        for name in self.todo:
            whole_run = known.get(Path(name).parent.name, other)
            if whole_run is None:
                return None
            left += whole_run * (1 - shares[name])
        return left

    def tick(self, running: Mapping[str, float]) -> None:
        """Show the line: always on a terminal, else once a minute."""
        now = time.monotonic()
        if not running or now - self.shown < (2 if self.status else EVERY):
            return
        self.shown = now
        left = self.left(running)
        epochs = []
        for name in running:
            run = read_if_there(self.folders[name])
            epochs.append(f'{name} epoch {run.done if run else 0} of {self.totals[name]}')
        total = len(self.folders)
        line = f'{total - len(self.todo) - self.failed} of {total} runs done'
        line += f', {self.failed} failed' if self.failed else ''
        line += f'; {"; ".join(epochs)}; CPU minutes left: '
        line += 'not known yet' if left is None else f'about {left:.0f}'
        if self.status:
            self.status.update(line)
        else:
            self.console.print(line)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Say how a run ended. Of one that failed, show the last lines of its log."""
        self.todo.remove(job.name)
        self.shown = -EVERY
        if outcome.code == 0:
            self._learn(job.name)
            minutes = self.minutes.get(job.name)
            took = '' if minutes is None else f', {minutes:.1f} CPU minutes'
            self.console.print(f'{job.name}: done{took}', markup=False)
            return
        self.failed += 1
        # a log may hold [brackets], which are no markup
        end = f'{job.name}: {reason(outcome)}\nThe end of {job.log}:'
        self.console.print(end, markup=False)
        for line in outcome.last:
            self.console.print(f'    {line}', markup=False)

    def close(self) -> None:
        """Remove the line."""
        if self.status:
            self.status.stop()


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print a table for every metric, and the notes."""
    for metric in result['metrics']:
        title: str | None = f'{metric} at the last epoch, %'
        rows = cells_of(result, metric)
        wide = console.width >= 150
        # too wide for most terminals: in two parts, with the arm in both
        for part in [COLUMNS] if wide else [COLUMNS[:7], ('arm', *COLUMNS[7:])]:
            table = Table(title=title, title_justify='left')
            for column in part:
                side: Literal['left', 'right'] = 'left' if column == 'arm' else 'right'
                table.add_column(column, justify=side, no_wrap='interval' in column)
            for cells in rows:
                values = dict(zip(COLUMNS, cells, strict=True))
                table.add_row(*(values[column] for column in part))
            console.print(table)
            title = None
    for note in result['notes']:
        console.print(f'- {note}', markup=False)


if __name__ == '__main__':
    sys.exit(main())
