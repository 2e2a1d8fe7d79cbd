"""Execute parts of a finished run again and compare: tools/verify.py WORK_DIR [--steps 20].

The tool takes the config, the log and the checkpoints that a run left. It trains some steps
again, from the first step and from randomly chosen checkpoints, and compares every logged
value. On the run's machine, versions and threads they must be equal to the last bit.
It also repeats the last evaluation. It changes nothing in the work dir.
"""

import argparse
import contextlib
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlogo import launch
from mmlogo.checkpoints.newest import checkpoints_in
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.engine.hooks.provenance import commit, hardware
from mmlogo.registry import HOOKS
from mmlogo.runs import TIMES, joined, logs_of, read_rows, read_run

NEAR = 1e-3  # relative difference that another machine may have


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path)
    parser.add_argument(
        '--steps',
        type=int,
        default=20,
        help='steps to execute from each start; default: 20. At least those to the next '
        'line of the log are executed',
    )
    parser.add_argument(
        '--starts',
        type=int,
        default=2,
        help='number of starts, chosen at random from the first step and the checkpoints; '
        'default: 2',
    )
    parser.add_argument('--seed', type=int, help='seed of the choice; default: a new one')
    parser.add_argument('--data-root', help='read every data set from this folder')
    return parser.parse_args()


class Start(NamedTuple):
    """A place in a run from which steps can be executed again."""

    iteration: int
    checkpoint: Path | None  # None is the first step

    def __str__(self) -> str:
        return self.checkpoint.name if self.checkpoint else 'the first step'


class Finding(NamedTuple):
    """What the comparison of one start gave."""

    values: int  # compared
    lines: int  # of the log
    different: list[str]
    largest: float  # relative difference


class _EnoughError(Exception):
    """All steps that were wanted are executed."""


@HOOKS.register_module()
class StopHook(Hook):
    """End a training after an iteration, when its line of the log is written."""

    priority = 'LOWEST'

    def __init__(self, last: int) -> None:
        self.last = last

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if runner.iter + 1 >= self.last:
            raise _EnoughError


def starts_of(work_dir: Path) -> list[Start]:
    """Return the first step and every whole checkpoint, in order."""
    found = [Start(0, None)]
    for path in checkpoints_in(work_dir):
        content = read_checkpoint(path)
        if 'optimizer' in content:
            found.append(Start(int(content['meta']['iter']), path))
    return sorted(found, key=lambda start: start.iteration)


def again(cfg: Config, start: Start, last: int, folder: Path) -> list[dict]:
    """Train from a start until an iteration, and return the lines of the log."""
    cfg = Config(cfg.to_dict())
    cfg.work_dir = str(folder)
    cfg.resume = start.checkpoint is not None
    cfg.load_from = str(start.checkpoint) if start.checkpoint else None
    stop = dict(type='StopHook', last=last, _scope_='mmlogo')
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), stop]
    saving = dict(type='DurableCheckpointHook', interval=-1, save_last=False)
    cfg.default_hooks.checkpoint = saving
    cfg.log_level = 'ERROR'
    # MMEngine keeps what writes logs by this name, which has the second of the start
    cfg.experiment_name = folder.name
    with contextlib.suppress(_EnoughError):
        Runner.from_cfg(cfg).train()
    return joined([read_rows(log) for log in logs_of(folder)])


def compare(recorded: Sequence[dict], repeated: Sequence[dict]) -> Finding:
    """Compare the lines that both have, without times and speeds."""

    def by_place(rows: Sequence[dict]) -> dict[tuple, dict]:
        return {('epoch' in row, row['step'], 'loss' in row): row for row in rows}

    old, different, largest, values, lines = by_place(recorded), [], 0.0, 0, 0
    for place, row in by_place(repeated).items():
        if place not in old:
            continue
        lines += 1
        for name, value in row.items():
            want = old[place].get(name)
            if name in TIMES or not isinstance(want, (int, float)):
                continue
            values += 1
            if want != value:
                gap = abs(want - value) / max(abs(want), abs(value), 1e-12)
                largest = max(largest, gap)
                different.append(f'{name} at step {place[1]}: {want} logged, {value} now')
    return Finding(values, lines, different, largest)


def main() -> int:
    args = parse_args()
    run = read_run(args.work_dir)
    if run.cfg is None or not run.notes:
        print(f'{args.work_dir} has no readable config or no runs.jsonl', file=sys.stderr)
        return 2
    start = next(note for note in run.notes if note['event'] == 'start')
    if start['processes'] != 1:
        print(
            f'the run had {start["processes"]} processes, and this tool executes one',
            file=sys.stderr,
        )
        return 2
    now = dict(commit=commit(), torch=torch.__version__, hardware=hardware())
    others = [f'{k} {start[k]} then, {v} now' for k, v in now.items() if start.get(k) != v]
    exact = not [other for other in others if not other.startswith('commit')]
    cfg = run.cfg
    if args.data_root:
        launch.set_data_root(cfg, args.data_root)
    recorded = joined([read_rows(log) for log in logs_of(args.work_dir)])
    trained = sorted({row['step'] for row in recorded if 'epoch' in row})
    seed = random.randrange(1 << 31) if args.seed is None else args.seed
    places = starts_of(args.work_dir)
    chosen = random.Random(seed).sample(
        [p for p in places if any(step > p.iteration for step in trained)],
        k=min(args.starts, sum(any(s > p.iteration for s in trained) for p in places)),
    )
    end = [p for p in places if p.checkpoint and p.iteration == max(trained, default=0)]
    print(f'{args.work_dir}: seed of the choice {seed}')
    for other in others:
        print(f'  not as in the run: {other}')
    good, total = True, 0
    for place in [*sorted(chosen), *end]:
        after = [step for step in trained if step > place.iteration]
        last = max(place.iteration + args.steps, min(after)) if after else place.iteration
        last = min(last, max(trained))
        with tempfile.TemporaryDirectory() as folder:
            found = compare(recorded, again(cfg, place, last, Path(folder)))
        fine = not found.different or (not exact and found.largest <= NEAR)
        good, total = good and fine and found.values > 0, total + found.values
        what = f'steps {place.iteration + 1} to {last}' if after else 'the last evaluation'
        print(
            f'  {what}, from {place}: {found.values} values in {found.lines} lines, '
            + (
                'equal to the last bit'
                if not found.different
                else f'{len(found.different)} differ, by {found.largest:.1e} at most: '
                f'{found.different[0]}'
            )
        )
    print(verdict(good, exact, total, len(places)))
    return 0 if good else 1


def verdict(good: bool, exact: bool, total: int, starts: int) -> str:
    """Return what the comparison can vouch for, and what it cannot."""
    if not good:
        return (
            'NOT VERIFIED: what was logged does not come from this code, this data and '
            'these checkpoints, or the machine computes otherwise'
        )
    how = 'to the last bit' if exact else f'within {NEAR:g}, on another machine'
    return (
        f'VERIFIED {how}: {total} logged values come from this code, this data and these '
        f'checkpoints. Not executed: the steps between the {starts} places that can be '
        'started from and the lines compared here. The checkpoints themselves are taken '
        'as they are'
    )


if __name__ == '__main__':
    sys.exit(main())
