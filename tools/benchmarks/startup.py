"""Time the imports, and the way from the command to the first iteration of a training.

Every case is a process of its own, and the rounds are interleaved. The peer is `import
torch, torchvision, mmpretrain`, with all packages that are installed here. Seconds are wall
clock; those of processor time tell how much other work on the machine added. A training is
over when its log has the line of the first iteration, loss included. Then it is killed. In
one more round, which is not timed, Python lists what each case imports.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

from mmlogo.arguments import Overrides
from mmlogo.engine.hooks.provenance import commit, hardware

CONFIG = 'configs/simsiam_logo_r18w16_cifar10_5k.py'
HEAVY = ('matplotlib', 'mmdet', 'sklearn')
PEER = 'import torch, torchvision, mmpretrain'
IMPORTS = (
    PEER,
    'import torch, torchvision, mmpretrain.models',
    'import mmlogo',
    'import mmlogo.launch',  # all that a training imports
)
HELP, FIRST = 'tools/train.py --help', 'command to first iteration'
SIGN = 'Epoch(train)'
TRAIN = str(Path(__file__).parents[1] / 'train.py')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', nargs='?', default=CONFIG)
    parser.add_argument('--data-root', help='folder of the data set')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--no-amp', action='store_true', help='float32; default: --amp')
    parser.add_argument('--out', type=Path, default=Path('startup.json'))
    parser.add_argument(
        '--cfg-options', nargs='+', action=Overrides, default={}, metavar='K=V'
    )


def trial(words: list[str], until: str = '') -> tuple[float, float, list[str]]:
    """Run Python with these words, to its end or until a line has a text.

    Returns:
        Seconds of wall clock and of processor time, and the lines of its output so far.

    Raises:
        RuntimeError: With the last lines, if it fails or the text does not come.
    """
    lines: list[str] = []
    begun, before = time.perf_counter(), _processor_time()
    with subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if until and until in line:
                spent = time.perf_counter() - begun
                process.kill()
                process.wait()
                return spent, _processor_time() - before, lines
    if until or process.returncode:
        raise RuntimeError(f'{words} did not do what is timed:\n{"".join(lines[-30:])}')
    return time.perf_counter() - begun, _processor_time() - before, lines


def _processor_time() -> float:
    """Return the seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(lines: list[str]) -> list[str]:
    """Return which of `HEAVY` are in the list that Python prints with -X importtime."""
    listed = {line.rpartition('|')[2].strip() for line in lines if '|' in line}
    return [name for name in HEAVY if name in listed]


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {case: statistics.median(spent) for case, spent in seconds.items()}


def run(args: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {}
    processor: dict[str, list[float]] = {}
    found: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds + 1):
            options = dict(args.cfg_options) | {'default_hooks.logger.interval': 1}
            training = [TRAIN, args.config, '--work-dir', f'{folder}/{number}']
            training += ['--data-root', args.data_root] if args.data_root else []
            training += [] if args.no_amp else ['--amp']
            training += ['--cfg-options', *(f'{k}={v}' for k, v in options.items())]
            cases = {text: ['-c', text] for text in IMPORTS}
            cases |= {HELP: [TRAIN, '--help'], FIRST: training}
            for case, words in cases.items():
                until = SIGN if case == FIRST else ''
                if number == 0:  # also reads all files into the memory of the machine
                    found[case] = imported(trial(['-X', 'importtime', *words], until)[2])
                else:
                    wall, used, _ = trial(words, until)
                    seconds.setdefault(case, []).append(wall)
                    processor.setdefault(case, []).append(used)
    of_the_peer = {
        case: statistics.median(a / b for a, b in zip(spent, seconds[PEER], strict=True))
        for case, spent in seconds.items()
    }
    record = dict(
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        commit=commit(),
        hardware=hardware(),
        versions={
            name: metadata.version(name)
            for name in ('torch', 'torchvision', 'onedl-mmengine', 'onedl-mmpretrain')
        },
        config=args.config,
        amp=not args.no_amp,
        cfg_options=args.cfg_options,
        seconds=seconds,
        processor_seconds=processor,
        median=medians(seconds),
        processor_median=medians(processor),
        of_the_peer=of_the_peer,
        imported=found,
    )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + '\n')
    for case in seconds:
        print(
            f'{record["median"][case]:6.2f} s, of the processor '
            f'{record["processor_median"][case]:6.2f} s, {of_the_peer[case]:5.2f} x  {case}'
            + (f'  (imports {", ".join(found[case])})' if found[case] else '')
        )
