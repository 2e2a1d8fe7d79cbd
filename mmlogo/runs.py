"""Reads the work dir of a run: its config, its starts and ends, and its scalars."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mmengine.config import Config

from mmlogo.config import read_config
from mmlogo.engine.hooks.bad_samples import FILE as BAD_SAMPLES
from mmlogo.engine.hooks.provenance import FILE as NOTES
from mmlogo.views import parse_views

Points = list[tuple[float, float]]
_ACCURACY = re.compile(r'(?P<probe>.+)/top(?P<top>[15])(_k(?P<k>\d+))?')


class Accuracy(NamedTuple):
    """The accuracy of one probe over a run, per cent. Epoch 0 is the untrained network."""

    scalar: str  # 'knn/top1_k20'
    probe: str  # 'knn'
    top: int
    k: int | None  # of k-NN
    last: float
    last_epoch: float
    best: float
    best_epoch: float  # the first that reached it


class Cost(NamedTuple):
    """The processor time of a run."""

    seconds: float
    exact: bool  # False if a start recorded no end, and its part is an estimate


# Scalars of the log that depend on the machine, not on the training.
TIMES = (
    'time',
    'data_time',
    'images_per_s',
    'data_wait',
    'views_wait',
    'memory_mb',
    'eta',
)


@dataclass(frozen=True)
class Run:
    """A run, finished or not.

    Args:
        name: The name of the work dir. If several runs have it, so many of the last parts
            of the path as tell them apart.
        folder: The work dir.
        cfg: The config that started the run, read as text. None if the folder has none, or
            if it cannot be read so.
        notes: The lines of `runs.jsonl`. The list is empty if there is no such file.
        scalars: The finite values of every scalar in the log: [(epoch, value), ...] in
            order. Rows of training have a fraction of an epoch. If `unit` is 'iteration',
            the first number counts iterations.
        unit: 'epoch', or 'iteration' for a run whose loop does not count epochs.
        done: How many epochs (or iterations) the run has finished.
        lapses: For each scalar that has values of NaN or infinity, a text that says where,
            such as 'not finite from step 24 on'; default: none.
        unread: Why the config was not read, empty if it was or if there is none; default:
            empty.
        bad: The names of the images that were replaced because they could not be read, each
            once; default: none.
    """

    name: str
    folder: Path
    cfg: Config | None
    notes: list[dict]
    scalars: dict[str, Points]
    unit: str
    done: int
    lapses: dict[str, str] = field(default_factory=dict)
    unread: str = ''
    bad: Sequence[str] = ()

    @property
    def finished(self) -> bool:
        """Whether the newest start reached the end of its training."""
        events = [note.get('event') for note in self.notes]
        trained = [event for event in events if event in ('start', 'end')]
        return bool(trained) and trained[-1] == 'end'

    @property
    def complete(self) -> bool:
        """Whether the run is finished, and all epochs of its config are done."""
        total = ((self.cfg or {}).get('train_cfg') or {}).get('max_epochs')
        return self.finished and (total is None or self.done >= total)

    @property
    def seed(self) -> int | None:
        """The seed of the newest start, or of the config. None if neither has one."""
        recorded = [note['seed'] for note in self._starts if note.get('seed') is not None]
        configured = ((self.cfg or {}).get('randomness') or {}).get('seed')
        return recorded[-1] if recorded else configured

    @property
    def batch(self) -> int | None:
        """How many images an update has, of all processes and accumulated iterations."""
        loader = (self.cfg or {}).get('train_dataloader') or {}
        if 'batch_size' not in loader:
            return None
        processes = self._starts[-1].get('processes', 1) if self._starts else 1
        return loader['batch_size'] * processes * self._accumulated

    @property
    def updates(self) -> int | None:
        """How many optimiser steps the run has made. None if no end was recorded."""
        ends = [note for note in self.notes if note.get('event') in ('end', 'interrupted')]
        if not ends or 'iteration' not in ends[-1]:
            return None
        return ends[-1]['iteration'] // self._accumulated

    @property
    def views_of_image(self) -> int | None:
        """How many views are made of an image. None if the config does not say so."""
        model = (self.cfg or {}).get('model') or {}
        views = (model.get('data_preprocessor') or {}).get('views')
        return None if views is None else len(parse_views(views))

    @property
    def rate(self) -> float | None:
        """The highest learning rate that was logged."""
        points = self.scalars.get('lr')  # `base_lr` is not scaled with the batch
        return max(value for _, value in points) if points else None

    @property
    def _starts(self) -> list[dict]:
        return [note for note in self.notes if note.get('event') == 'start']

    @property
    def _accumulated(self) -> int:
        wrapper = (self.cfg or {}).get('optim_wrapper') or {}
        return wrapper.get('accumulative_counts', 1)

    def cost(self) -> Cost | None:
        """Return the processor time of the steps that the run is made of.

        A process that was killed recorded no end. Its steps up to the checkpoint from which
        the run was resumed are counted at the pace of the starts that have an end. What it
        did after that checkpoint was lost, and is not counted.

        Returns:
            The cost. None if no end was recorded, or a killed part cannot be estimated.
        """
        spent, steps, lost = 0.0, 0, 0
        begun: dict | None = None
        for note in self.notes:
            if note.get('event') == 'start':
                if begun is not None:
                    lost += note.get('iteration', 0) - begun.get('iteration', 0)
                begun = note
            elif note.get('event') in ('end', 'interrupted') and begun is not None:
                spent += note['cpu_seconds']
                steps += note.get('iteration', 0) - begun.get('iteration', 0)
                begun = None
        if begun is not None or not spent or (lost and not steps):
            return None
        return Cost(spent + (spent / steps * lost if lost else 0.0), not lost)

    def accuracies(self) -> list[Accuracy]:
        """Return the accuracies of every probe, k-NN first, in the order of k."""
        found = []
        for scalar, points in self.scalars.items():
            match = _ACCURACY.fullmatch(scalar)
            if match:
                best = max(points, key=lambda point: point[1])
                k = None if match['k'] is None else int(match['k'])
                found.append(
                    Accuracy(
                        scalar,
                        match['probe'],
                        int(match['top']),
                        k,
                        points[-1][1],
                        points[-1][0],
                        best[1],
                        best[0],
                    )
                )
        return sorted(found, key=lambda a: (a.k is None, a.probe, a.top, a.k or 0))

    def facts(self) -> dict[str, str | None]:
        """Return what a report says about the run. A fact that was not recorded is None."""
        starts = self._starts
        ends = [n for n in self.notes if n.get('event') in ('end', 'interrupted')]
        cfg = self.cfg or {}
        total = (cfg.get('train_cfg') or {}).get('max_epochs')
        state = 'finished' if self.finished else 'no end recorded: in progress or stopped'
        facts: dict[str, str | None] = {
            'config': Path(self.cfg.filename).name if self.cfg else None,
            'algorithm': (cfg.get('model') or {}).get('type'),
            f'{self.unit}s done': f'{self.done}' + (f' of {total}' if total else ''),
            'state': state if self.notes else None,
        }
        for fact in ('command', 'commit', 'seed', 'hardware'):
            values = dict.fromkeys(str(s[fact]) for s in starts if s.get(fact) is not None)
            facts[fact] = ', then '.join(values) or None
        for fact, key in (('CPU time', 'cpu_seconds'), ('wall time', 'seconds')):
            value = duration(sum(end[key] for end in ends)) if ends else None
            if value and len(starts) > len(ends):
                value += f' in {len(ends)} of {len(starts)} starts; the others have no end'
            facts[fact] = value
        memory = self.scalars.get('memory_mb')
        facts['peak memory'] = (
            f'{max(value for _, value in memory) / 1024:.2f} GiB' if memory else None
        )
        speed = self.scalars.get('images_per_s')
        facts['median speed'] = (
            f'{median(value for _, value in speed):.0f} images/s' if speed else None
        )
        if self.bad:
            first = ', '.join(self.bad[:3]) + (', ...' if len(self.bad) > 3 else '')
            facts['bad images'] = f'{len(self.bad)} replaced by others: {first}'
        return facts


def duration(seconds: float) -> str:
    """Return a text such as `2 h 5 min`, `22 min` or `48 s`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    hours, minutes = divmod(round(seconds / 60), 60)
    return f'{hours} h {minutes} min' if hours else f'{minutes} min'


def logs_of(work_dir: str | os.PathLike) -> list[Path]:
    """Return every `scalars.json` of a work dir, the oldest first.

    Raises:
        FileNotFoundError: If there is none.
    """
    found = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))  # by timestamp
    if not found:
        raise FileNotFoundError(
            f'no scalars in {work_dir}: expected '
            f'{work_dir}/<timestamp>/vis_data/scalars.json; '
            'give the work dir of a run whose config has LocalVisBackend'
        )
    return found


def read_rows(file: Path) -> list[dict]:
    """Return the JSON objects of a log, which has one on each line.

    If the last line is not complete, because it is still being written, it is left out.

    Raises:
        ValueError: If any other line is not JSON.
    """
    lines = [line for line in file.read_text().splitlines() if line.strip()]
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number == len(lines):
                break
            raise ValueError(
                f'{file}, line {number} is no JSON ({error}); mend or remove the line'
            ) from None
    return rows


def config_file(work_dir: Path, command: str) -> Path | None:
    """Return the config of a run among those in its work dir, None if it has none.

    MMEngine leaves there the config of every run that used the folder.

    Args:
        work_dir: The work dir.
        command: The command that started the run. The config is the one that it names;
            if it names none of them, the newest.
    """
    files = (path for path in work_dir.glob('*.py') if path.is_file())
    found = sorted(files, key=lambda path: path.stat().st_mtime_ns)
    names = {re.split('[/:]', word)[-1] for word in command.split()}
    named = [path for path in found if path.name in names]
    return next(reversed(named or found), None)


def joined(logs: Sequence[Sequence[dict]]) -> list[dict]:
    """Return the rows of all parts of a run, oldest first, and no step twice.

    A run that was killed and resumed does some steps again. Of these, and of evaluations
    that were made again, only the rows of the newer log are kept.

    Args:
        logs: The rows of each log, the oldest log first.
    """
    rows: list[dict] = []
    for log in logs:
        begins = min((row['step'] for row in log if 'epoch' in row), default=math.inf)
        again = {row['step'] for row in log if 'epoch' not in row}
        rows = [
            row
            for row in rows
            if (row['step'] < begins if 'epoch' in row else row['step'] not in again)
        ]
        rows += log
    return rows


def epoch_length(rows: Sequence[Mapping]) -> float:
    """Return how many iterations an epoch has, from the rows of a log.

    If the log counts its interval anew in every epoch, the first rows of two epochs are
    one epoch's length apart. Otherwise the length is the largest quotient of iteration and
    epoch in the log, which is exact as soon as the last iteration of an epoch was logged.

    Args:
        rows: The rows. Those of training have the entries `epoch` and `step`.
    """
    train = [row for row in rows if 'epoch' in row]
    least = max((row['step'] / row['epoch'] for row in train if row['epoch']), default=1.0)
    firsts: dict[int, int] = {}
    for row in train:
        if 'loss' in row:
            firsts[row['epoch']] = min(row['step'], firsts.get(row['epoch'], row['step']))
    epochs = sorted(firsts)
    lengths = {(firsts[b] - firsts[a]) / (b - a) for a, b in pairwise(epochs)}
    if len(epochs) > 2 and len(lengths) == 1 and max(lengths) >= least:
        return max(lengths)
    return least


def read_run(work_dir: str | os.PathLike, name: str | None = None) -> Run:
    """Read a work dir. If the run was resumed, each step and evaluation counts once.

    Nothing in the work dir is run. Without its config a run still has its logs.

    Raises:
        FileNotFoundError: If it has no log of scalars.
        ValueError: If nothing was logged yet, or a line is not JSON.
    """
    folder = Path(work_dir)
    rows = joined([read_rows(file) for file in logs_of(folder)])
    if not rows:
        raise ValueError(f'{folder} has logged nothing yet; wait for its first line')
    unit = 'epoch' if any('epoch' in row for row in rows) else 'iteration'
    length = epoch_length(rows)
    logged: dict[str, dict[float, float]] = {}
    training: set[str] = set()
    for row in rows:
        x = row['step'] / length if 'epoch' in row else float(row['step'])
        for scalar, value in row.items():
            if scalar in ('epoch', 'iter', 'step') or not isinstance(value, (int, float)):
                continue
            if 'epoch' in row:
                training.add(scalar)
            logged.setdefault(scalar, {})[x] = value
    finite = {
        name: sorted((x, y) for x, y in points.items() if math.isfinite(y))
        for name, points in logged.items()
    }
    notes_file = folder / NOTES
    notes = read_rows(notes_file) if notes_file.is_file() else []
    commands = [note.get('command', '') for note in notes if note.get('event') == 'start']
    config = config_file(folder, commands[-1] if commands else '')
    cfg, unread = None, ''
    try:
        cfg = read_config(config) if config else None
    except (OSError, ValueError) as error:
        unread = str(error)
    return Run(
        name=name or folder.resolve().name,
        folder=folder,
        cfg=cfg,
        notes=notes,
        scalars={name: points for name, points in finite.items() if points},
        unit=unit,
        done=_done(rows, notes, unit),
        lapses={
            name: _lapse(points, length if name in training else None, unit)
            for name, points in logged.items()
            if not all(map(math.isfinite, points.values()))
        },
        unread=unread,
        bad=_bad_images(folder / BAD_SAMPLES),
    )


def _bad_images(file: Path) -> list[str]:
    rows = read_rows(file) if file.is_file() else []
    return list(dict.fromkeys(str(row.get('name')) for row in rows))


def _lapse(points: Mapping[float, float], length: float | None, unit: str) -> str:
    """Say where values are not finite.

    Args:
        points: x -> value.
        length: How many steps of training make 1 of x, None for values of evaluations.
        unit: What x counts.
    """
    values = [value for _, value in sorted(points.items())]
    lost = sorted(x for x, value in points.items() if not math.isfinite(value))
    if length is not None:
        unit, lost = 'step', [x * length for x in lost]
    first = f'{unit} {round(lost[0])}'
    if not any(map(math.isfinite, values[-len(lost) :])):
        return f'not finite from {first} on'
    return f'not finite at {len(lost)} of {len(values)} {unit}s logged, first at {first}'


def _done(rows: Sequence[Mapping], notes: Sequence[Mapping], unit: str) -> int:
    if unit == 'iteration':
        return max(int(row['step']) for row in rows)
    ends = [note['epoch'] for note in notes if note.get('event') == 'end']
    begun = [int(row['epoch']) - 1 for row in rows if 'epoch' in row]
    seen = [int(row['step']) for row in rows if 'epoch' not in row]
    return max([0, *ends, *begun, *seen])


def read_runs(work_dirs: Sequence[str | os.PathLike]) -> list[Run]:
    """Read each work dir by `read_run`, and give the runs names that differ.

    Raises:
        ValueError: If a folder is given twice, or some runs count epochs and others
            iterations.
        FileNotFoundError: If a work dir has no log of scalars.
    """
    folders = [Path(work_dir).resolve() for work_dir in work_dirs]
    twice = {str(folder) for folder in folders if folders.count(folder) > 1}
    if twice:
        raise ValueError(f'{min(twice)} is given twice; give every work dir once')
    runs = [
        read_run(work_dir, name)
        for work_dir, name in zip(work_dirs, _short_names(folders), strict=True)
    ]
    if len({run.unit for run in runs}) > 1:
        units = ', '.join(f'{run.name}: {run.unit}s' for run in runs)
        raise ValueError(
            f'runs that share axes must count alike and these do not ({units}); '
            'make a report for each kind'
        )
    return runs


def _short_names(folders: Sequence[Path]) -> Iterator[str]:
    """Yield for each path as few of its last parts as tell it from the others."""
    for folder in folders:
        for parts in range(1, len(folder.parts) + 1):
            same = [f for f in folders if f.parts[-parts:] == folder.parts[-parts:]]
            if len(same) == 1:
                break
        yield '/'.join(folder.parts[-parts:])
