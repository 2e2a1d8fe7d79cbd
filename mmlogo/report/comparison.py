"""Compares arms: several runs each, which differ in their seeds.

What is paired: two arms' runs of one seed. They share the order of the images and every
random number of the views, because a view is a function of (seed, epoch, sample, view).
So both see the same crops, as long as they have the same data set and views. Another batch
changes nothing of that. Arms with other data, other views or another number of epochs share
only a part of the crops or none: their differences are right, too, but less exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmlogo.evaluation.paired import LEVEL, Paired, paired, pairs_for
from mmlogo.report.charts import draw_arms
from mmlogo.runs import Run

METRIC = 'knn/top1_k20'
# What an arm's runs must share.
_SAME_IN_ARM = (
    'model',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
    'train_dataloader',
    'auto_scale_lr',
    'custom_hooks',
    'val_evaluator',
)
# What all runs must share, so that their numbers are of one protocol.
_SAME = ('val_dataloader.dataset', 'bank_dataloader.dataset')
FORMULA = (
    "The interval is Student's t over the seeds that both arms have: m ± t(.975, n - 1) s "
    '/ √n, where m is the mean and s the deviation of the n differences. Of such intervals '
    '95 % hold the true difference. "To tell 1 point" are the seeds that are missing to '
    'the smallest n with t(.975, n - 1) s / √n ≤ 1, if s stays as it is.'
)
EQUAL = 'all differences are equal, and so an interval of no width shows nothing'
ONE_PAIR = 'one pair has no deviation, so there is no interval'


@dataclass(frozen=True)
class Arm:
    """Runs of one experiment.

    Args:
        name: The name.
        runs: Seed -> run that reached its end.
        missing: Seed -> why its run is not there; default: none.
    """

    name: str
    runs: Mapping[int, Run]
    missing: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What a table says of an arm. Without a run most of it is None.

    Args:
        arm: The name of the arm.
        values: Seed -> the metric at the last epoch.
        mean: The mean over the values.
        sd: Their standard deviation, with n - 1. None with fewer than two values.
        difference: This arm minus the first, over the seeds that both have. None for the
            first arm, and without a shared seed.
        more: How many more pairs would tell 1 point. None without an interval, or if all
            differences are equal.
    """

    arm: str
    values: Mapping[int, float]
    mean: float | None
    sd: float | None
    difference: Paired | None
    more: int | None


def check_alike(arms: Sequence[Arm]) -> None:
    """Refuse runs whose numbers cannot be compared.

    Raises:
        ValueError: If the runs of an arm differ in more than their seed, or runs were
            evaluated on different data. The message names the first key that differs.
    """
    first: Run | None = None
    for arm in arms:
        runs = list(arm.runs.values())
        for run in runs[1:]:
            key = difference_of(runs[0], run, _SAME_IN_ARM)
            if key:
                raise ValueError(
                    f'the runs of the arm {arm.name} must differ in the seed alone, and '
                    f'{runs[0].folder} and {run.folder} differ in {key}; give them as two '
                    'arms'
                )
        for run in runs[:1]:
            first = first or run
            key = difference_of(first, run, _SAME)
            if key:
                raise ValueError(
                    f'{first.folder} and {run.folder} were not evaluated on the same data: '
                    f'they differ in {key}; compare runs of one protocol'
                )


def difference_of(
    one: Run | Mapping, other: Run | Mapping, keys: Sequence[str] = _SAME_IN_ARM
) -> str | None:
    """Return the first key in which two configs differ, None if they do not.

    Folders of data and of checkpoints do not count. A run without a config differs in
    nothing that is known.

    Args:
        one: A run or a config.
        other: Another.
        keys: Parts of the config to compare; default: what makes a training.
    """
    flat = []
    for x in (one, other):
        cfg = x.cfg if isinstance(x, Run) else x
        if cfg is None:
            return None
        flat.append(dict(leaf for key in keys for leaf in _leaves(_part(cfg, key), key)))
    for key in dict.fromkeys((*flat[0], *flat[1])):
        if flat[0].get(key, ...) != flat[1].get(key, ...):
            values = ' and '.join(repr(part.get(key, 'nothing')) for part in flat)
            return f'{key} ({values})'
    return None


def _part(cfg: Mapping, key: str) -> object:
    part: Any = cfg
    for word in key.split('.'):
        part = (part or {}).get(word)
    return part


def _leaves(node: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key not in ('data_root', '_scope_'):
                yield from _leaves(value, f'{name}.{key}')
    elif isinstance(node, (list, tuple)) and any(isinstance(x, Mapping) for x in node):
        for place, value in enumerate(node):
            yield from _leaves(value, f'{name}.{place}')
    else:
        yield name, tuple(node) if isinstance(node, list) else node


def final(run: Run, metric: str) -> float:
    """Return a metric at the end of a run.

    Raises:
        ValueError: If the run did not log it, or not at its end. The message has the
            metrics that it did log.
    """
    points = run.scalars.get(metric)
    if not points:
        lapse = run.lapses.get(metric)
        known = [a.scalar for a in run.accuracies()]
        raise ValueError(
            f'{metric} is {lapse}'
            if lapse
            else f'it logged no {metric}, but {", ".join(known) or "no accuracy"}; give '
            'one of these with --metric'
        )
    epoch, value = points[-1]
    if epoch != run.done:
        raise ValueError(
            f'its last {metric} is of {run.unit} {epoch:g}, and it ended at {run.done}'
        )
    return value


def rows_of(arms: Sequence[Arm], metric: str) -> tuple[list[Row], list[str]]:
    """Return a row for every arm, and notes that name what is missing.

    Raises:
        ValueError: If no run has the metric.
    """
    notes, found = [], []
    why = ''
    for arm in arms:
        values = {}
        for seed, run in sorted(arm.runs.items()):
            try:
                values[seed] = final(run, metric)
            except ValueError as error:
                why = why or f'{run.folder}: {error}'
                notes.append(f'{arm.name} lacks seed {seed}: {error}')
        for seed, reason in sorted(arm.missing.items()):
            notes.append(f'{arm.name} lacks seed {seed}: {reason}')
        found.append(values)
    if why and not any(found):
        raise ValueError(why)
    rows = [
        _row(arm.name, found[0], values) for arm, values in zip(arms, found, strict=True)
    ]
    rows[0] = Row(arms[0].name, found[0], rows[0].mean, rows[0].sd, None, None)
    for row in rows[1:]:
        alone = sorted(row.values.keys() ^ found[0].keys())
        if alone:
            words = ', '.join(map(str, alone))
            notes.append(f'{row.arm} and {arms[0].name} do not share seed {words}: no pair')
        if row.difference and row.difference.pairs == 1:
            notes.append(f'{row.arm}: {ONE_PAIR}; add a seed')
        if row.difference and row.difference.sd == 0:
            notes.append(f'{row.arm}: {EQUAL}')
    return rows, notes


def _row(name: str, first: Mapping[int, float], values: Mapping[int, float]) -> Row:
    pairs = [values[seed] - first[seed] for seed in values if seed in first]
    difference = paired(pairs) if pairs else None
    more = None
    if difference and difference.sd:
        more = max(0, pairs_for(difference.sd) - difference.pairs)
    numbers = list(values.values())
    return Row(
        name,
        values,
        mean(numbers) if numbers else None,
        stdev(numbers) if len(numbers) > 1 else None,
        difference,
        more,
    )


def effort_of(arm: Arm) -> dict[str, Any]:
    """Return what the runs of an arm cost: the values of every run, by name.

    `views` are those seen in a run: updates x batch x views of an image. `estimated` names
    the seeds whose processor time holds an estimate.
    """
    runs = list(arm.runs.values())
    costs = {seed: run.cost() for seed, run in arm.runs.items()}
    return dict(
        batch=[run.batch for run in runs],
        rate=[run.rate for run in runs],
        epochs=[run.done for run in runs],
        updates=[run.updates for run in runs],
        views=[_product(run.updates, run.batch, run.views_of_image) for run in runs],
        cpu_minutes=[
            None if cost is None else cost.seconds / 60 for cost in costs.values()
        ],
        estimated=[seed for seed, cost in costs.items() if cost and not cost.exact],
    )


def _product(*factors: int | None) -> int | None:
    product = 1
    for factor in factors:
        if factor is None:
            return None
        product *= factor
    return product


def summarise(
    arms: Sequence[Arm], metrics: Sequence[str], plan: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a page and a table say of arms.

    Args:
        arms: At least one. The others are compared with the first.
        metrics: Scalars of the log, in per cent.
        plan: What was planned for a budget, which is kept with the results; default: none.

    Returns:
        The content of `compare.json`.

    Raises:
        ValueError: If the runs cannot be compared, or none has a metric.
    """
    check_alike(arms)
    tables, notes = {}, []
    for metric in metrics:
        rows, found = rows_of(arms, metric)
        tables[metric] = [_as_dict(row) for row in rows]
        notes += [note for note in found if note not in notes]
    efforts = {arm.name: effort_of(arm) for arm in arms}
    for name, effort in efforts.items():
        if effort['estimated']:
            notes.append(
                f'{name}, seed {", ".join(map(str, effort["estimated"]))}: a process was '
                'killed and recorded no CPU time (~); its part is counted at the pace of '
                'the rest of the run'
            )
    result: dict[str, Any] = dict(
        level=LEVEL,
        reference=arms[0].name,
        metrics=tables,
        arms={
            arm.name: dict(
                seeds=sorted(arm.runs),
                missing={str(seed): why for seed, why in arm.missing.items()},
                **efforts[arm.name],
                **_origin(arm),
            )
            for arm in arms
        },
        notes=notes,
    )
    if plan:
        result['budget'] = plan
    return result


def draw_curves_of(arms: Sequence[Arm], metrics: Sequence[str], path: Path) -> None:
    """Draw the metrics of arms over epochs, and over the processor time of an epoch.

    Args:
        arms: The arms, in the order of their colours.
        metrics: Scalars of the log, in per cent.
        path: The file to write.

    Raises:
        ValueError: If there are more arms than colours.
    """
    curves = {
        metric: {
            arm.name: [
                run.scalars[metric] for run in arm.runs.values() if metric in run.scalars
            ]
            for arm in arms
        }
        for metric in metrics
    }
    paces = {}
    for arm in arms:
        effort = effort_of(arm)
        spent, epochs = effort['cpu_minutes'], effort['epochs']
        known = bool(spent) and None not in spent and sum(epochs)
        paces[arm.name] = sum(spent) / sum(epochs) if known else None
    draw_arms(curves, paces, path)


def _as_dict(row: Row) -> dict[str, Any]:
    difference = row.difference
    return dict(
        arm=row.arm,
        values={str(seed): value for seed, value in row.values.items()},
        mean=row.mean,
        sd=row.sd,
        difference=None if difference is None else difference._asdict(),
        more_for_1_point=row.more,
    )


def _origin(arm: Arm) -> dict[str, list[str]]:
    """Return the commits, the hardware and the commands of an arm's runs."""
    found: dict[str, list[str]] = {}
    for fact in ('commit', 'hardware', 'command'):
        values = [
            str(note[fact])
            for run in arm.runs.values()
            for note in run.notes
            if note.get('event') == 'start' and note.get(fact) is not None
        ]
        values = [anywhere(value) if fact == 'command' else value for value in values]
        found[fact] = list(dict.fromkeys(values))
    return found


def anywhere(command: str) -> str:
    """Return a command without what is of one machine and of one seed."""
    command = re.sub(r' --(work-dir[ =]\S+|resume( (?!--)\S+)?)', '', command)
    command = re.sub(r'(--data-root)[ =]\S+', r'\1 DIR', command)
    command = re.sub(r'randomness\.seed=\d+', 'randomness.seed=SEED', command)
    command = command.replace(' --cfg-options --', ' --')
    return re.sub(
        r'(?<=[ =])/\S*?/((?:tools|configs)/\S+\.py|[^/\s]+\.(?:py|pth))(?= |$)',
        r'\1',
        command,
    )


COLUMNS = (
    'arm',
    'mean ± sd',
    'seeds',
    'difference',
    '95 % interval',
    'pairs',
    'to tell 1 point',
    'batch',
    'rate',
    'epochs',
    'updates',
    'views, M',
    'CPU min',
)


def cells_of(result: Mapping[str, Any], metric: str) -> list[list[str]]:
    """Return the cells of a metric's table as texts, a row for each arm."""
    return [_cells(row, result['arms'][row['arm']]) for row in result['metrics'][metric]]


def _cells(row: Mapping[str, Any], arm: Mapping[str, Any]) -> list[str]:
    average = '-' if row['mean'] is None else f'{row["mean"]:.1f}'
    if row['sd'] is not None:
        average += f' ± {row["sd"]:.1f}'
    difference, interval, pairs, more = 'reference', '', '', ''
    found = row['difference']
    if found is not None:
        difference, pairs = f'{found["mean"]:+.1f}', str(found['pairs'])
        interval = '-'
        if found['low'] is not None:
            interval = f'{found["low"]:+.1f} to {found["high"]:+.1f}'
            needed = row['more_for_1_point']
            more = f'{needed} more' if needed else 'enough'
    return [
        row['arm'],
        average,
        ', '.join(row['values']) or 'none',
        difference,
        interval,
        pairs,
        more,
        _span(arm['batch']),
        _span(arm['rate'], '.4g'),
        _span(arm['epochs']),
        _span(arm['updates'], ',d'),
        _span([v if v is None else v / 1e6 for v in arm['views']], '.3g'),
        ('~' if arm['estimated'] else '') + _average(arm['cpu_minutes']),
    ]


def _span(values: Sequence[float | None], style: str = 'd') -> str:
    """Return the value that runs share, or the least and the greatest."""
    if not values or None in values:
        return '?'
    ends = [format(end(values), style) for end in (min, max)]  # type: ignore[type-var]
    return ' to '.join(dict.fromkeys(ends))


def _average(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return '?'
    return (f'{mean(known):.0f}' if mean(known) >= 100 else f'{mean(known):.3g}') + (
        '' if len(known) == len(values) else f' (of {len(known)} runs)'
    )


def markdown(result: Mapping[str, Any], picture: str = 'compare.png') -> str:
    """Return the page about a comparison."""
    arms, reference = result['arms'], result['reference']
    lines = [f'# {" and ".join(arms)}', '']
    for metric in result['metrics']:
        lines += [
            f'`{metric}` at the last epoch, per cent, and the paired difference to '
            f'{reference}.',
            '',
            *_table(COLUMNS, cells_of(result, metric)),
            '',
        ]
    seeds = sorted(
        {int(s) for arm in arms.values() for s in (*arm['seeds'], *arm['missing'])}
    )
    for metric, rows in result['metrics'].items():
        lines += [f'Every run, `{metric}`:', '']
        values = [
            [row['arm']]
            + [
                f'{row["values"][str(seed)]:.2f}'
                if str(seed) in row['values']
                else 'missing'
                for seed in seeds
            ]
            for row in rows
        ]
        lines += [*_table(['arm', *(f'seed {seed}' for seed in seeds)], values), '']
    lines += [f'- {note}' for note in result['notes']] + [''] * bool(result['notes'])
    if 'budget' in result:
        lines += [_budget(result['budget']), '']
    lines += [FORMULA, '', f'![The mean over the seeds, and their range]({picture})', '']
    for name, arm in arms.items():
        if arm['command']:
            lines += [
                f'{name}: commit {", ".join(arm["commit"])}; {"; ".join(arm["hardware"])}'
            ]
            lines += ['', '```bash', *arm['command'], '```', '']
    return '\n'.join(lines)


def _budget(plan: Mapping[str, Any]) -> str:
    costs = '; '.join(
        f'{name}: batch {arm["batch"]}, rate {arm["rate"]:.4g}, {arm["epochs"]} epochs, '
        f'{arm["updates"]:,} updates of {1000 * arm["step_seconds"]:.0f} ms, '
        f'{arm["minutes"]:.1f} CPU minutes expected'
        for name, arm in plan['arms'].items()
    )
    return (
        f'Budget: {plan["minutes"]:g} CPU minutes and equal updates for every arm. The '
        'batch is chosen so that a step costs the same, and the rate is scaled linearly '
        f'with it. {costs}.'
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        '| ' + ' | '.join(words) + ' |' for words in (header, ['---'] * len(header), *rows)
    ]
