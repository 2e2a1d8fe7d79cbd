"""What the benchmarks share: ways to do the same work, timed in turn."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from mmlogo.engine.hooks.provenance import commit, hardware

Seconds = dict[str, list[float]]


def add_arguments(parser: argparse.ArgumentParser, rounds: int = 5) -> None:
    parser.add_argument('--rounds', type=int, default=rounds, help=f'default: {rounds}')
    parser.add_argument('--out', type=Path, metavar='JSON', help='all seconds, unrounded')


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` takes, and what it returns."""
    synchronise()
    start = time.perf_counter()
    result = work()
    synchronise()
    return time.perf_counter() - start, result


def in_turn(
    ways: Mapping[str, Callable[[], Any]], count: int
) -> tuple[Seconds, dict[str, Any]]:
    """Time each way in each of `count` rounds, after one round that is not counted.

    Returns:
        Seconds of each way in each round, and what it returned in the last one.
    """
    spent: Seconds = {name: [] for name in ways}
    found = {}
    for _ in range(1 + count):
        for name, work in ways.items():
            seconds, found[name] = measured(work)
            spent[name].append(seconds)
    return {name: times[1:] for name, times in spent.items()}, found


def spread(ratios: Iterable[float]) -> tuple[float, float, float]:
    """The quartiles, the median in the middle."""
    ratios = list(ratios)
    if len(ratios) == 1:
        return (ratios[0],) * 3
    low, middle, high = statistics.quantiles(ratios, n=4, method='inclusive')
    return low, middle, high


def ratios(a: list[float], b: list[float]) -> tuple[float, float, float]:
    """The quartiles of a / b, round by round."""
    return spread(x / y for x, y in zip(a, b, strict=True))


def compared(seconds: Seconds, ours: str = 'ours') -> str:
    """A line for each way: its seconds, and how many times those of ours it took."""
    lines = []
    for name, times in seconds.items():
        low, middle, high = ratios(times, seconds[ours])
        lines.append(
            f'  {name:36s} {statistics.median(times):9.4f} s   {middle:5.2f} of {ours} '
            f'({low:.2f} to {high:.2f})'
        )
    return '\n'.join(lines)


def write(args: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write what was measured, and on what, to `--out`."""
    if args.out is None:
        return
    origin = dict(
        command=' '.join(['tools/benchmark.py', *sys.argv[1:]]),
        date=time.strftime('%Y-%m-%d'),
        hardware=hardware(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        commit=commit(),
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps([origin, rows], indent=1))
