"""The long part of the fault injections, and the table of docs/reliability.md.

    .dev/faults.py RESULTS [--only NAME ...]    trials to RESULTS/*.json; none is done twice
    .dev/faults.py RESULTS --write FILE         the table in a Markdown file

Most trials are real trainings in processes of their own. On two cores all of it takes about
forty minutes; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'tests' / 'faults')]

from engine.test_finite import PLACES, VALUES, PoisonHook, poisoned  # noqa: E402
from lab import Lab, at_iteration, chain_of_kills, interrupted, wait  # noqa: E402

from mmlogo.checkpoints.newest import checkpoints_in, newest_valid  # noqa: E402
from mmlogo.checkpoints.read import read_checkpoint  # noqa: E402
from mmlogo.engine.hooks.provenance import commit, hardware  # noqa: E402

BASES = ('simsiam_logo_r18_cifar10', 'moco_logo_r18_cifar10')
KILLS = 3  # in a chain
CHAINS = 3  # of each kind

# One trial: what is wrong afterwards, and the seconds that it took to notice, if measured.
Trial = Callable[[Path, Path], tuple[list[str], float | None]]


def chains(name: str) -> Iterator[tuple[str, Trial]]:
    """Yield trainings that are killed or interrupted, resumed and compared."""
    for base in BASES:
        for workers, ranks in ((0, 1), (2, 1), (0, 2)):
            for number in range(CHAINS):
                draw = random.Random(f'{name} {base} {workers} {ranks} {number}')

                def run(
                    folder: Path,
                    work_dir: Path,
                    base=base,
                    workers=workers,
                    ranks=ranks,
                    draw=draw,
                ):
                    lab = Lab(folder, base, workers, ranks)
                    if name == 'signal':
                        kind = draw.choice(('SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGHUP'))
                        return interrupted(lab, work_dir, [kind], draw.randint(2, 14)), None
                    write = name == 'write'
                    return chain_of_kills(lab, work_dir, KILLS, draw, write), None

                method = base.partition('_r18')[0]
                yield f'{method} {workers} workers {ranks} ranks, {number}', run


def damages(name: str) -> Iterator[tuple[str, Trial]]:
    """Yield bits to flip and places to cut, anywhere in a training's checkpoint."""
    for number in range(110):

        def run(folder: Path, work_dir: Path, number=number):
            lab = Lab(folder)
            lab.undisturbed()
            whole = checkpoints_in(lab.straight)[0].read_bytes()
            draw, damaged = random.Random(number), bytearray(whole)
            if number < 100:
                bit = draw.randrange(8 * len(whole))
                damaged[bit // 8] ^= 1 << bit % 8
            else:
                del damaged[draw.randrange(len(whole)) :]
            work_dir.mkdir()
            path = work_dir / 'iter_2.pth'
            path.write_bytes(damaged)
            try:
                read_checkpoint(path)
            except ValueError as error:
                named = path.name in str(error)
            else:
                named = False
            resumed = newest_valid(work_dir).path
            wrong = [] if named else ['read without an error that names it']
            return wrong + ['resumed from'] * (resumed is not None), None

        yield f'{"bit" if number < 100 else "cut"} {number}', run


def poisons(name: str) -> Iterator[tuple[str, Trial]]:
    """Yield values that are not finite, within an epoch and before a checkpoint."""
    for at in (7, 9):
        for place in PLACES:
            for value in VALUES:

                def run(folder: Path, work_dir: Path, at=at, place=place, value=value):
                    work_dir.mkdir()
                    lab = Lab(folder)
                    poisoned(work_dir, lab.tree, place, value, at)
                    wrong = [
                        name
                        for name, p in PoisonHook.model.named_parameters()
                        if not torch.equal(
                            p.nan_to_num(), PoisonHook.before[name].nan_to_num()
                        )
                    ]
                    newest = newest_valid(work_dir / 'w').path
                    return wrong + ['no checkpoint is left'] * (newest is None), None

                yield f'{value} in {place}, iteration {at}', run


def exits(name: str) -> Iterator[tuple[str, Trial]]:
    """Yield signals, and the time to the end of the last process."""
    for ranks in (1, 2):
        for number in range(6):
            kind = ('SIGTERM', 'SIGINT', 'SIGUSR1')[number % 3]

            def run(folder: Path, work_dir: Path, ranks=ranks, kind=kind, number=number):
                lab, mark = Lab(folder, ranks=ranks), folder / 'mark'

                def act(runner) -> None:
                    if os.environ['RANK'] == '0':
                        mark.write_text(str(time.time()))
                        os.kill(os.getpid(), getattr(signal, kind))

                pids = lab.train(work_dir, first=lambda: at_iteration(3 + number, act))
                codes = [wait(pid) for pid in pids]
                seconds = time.time() - float(mark.read_text())
                wrong = [] if codes == [75] * ranks else [f'exit codes {codes}']
                return wrong, seconds

            yield f'{kind}, {ranks} ranks, {number}', run


def dead_ranks(name: str) -> Iterator[tuple[str, Trial]]:
    """Yield processes that are killed, and the time until the other one has ended."""
    for number in range(6):

        def run(folder: Path, work_dir: Path, number=number):
            lab, mark, victim = Lab(folder, ranks=2), folder / 'mark', number % 2

            def act(runner) -> None:
                if os.environ['RANK'] == str(victim):
                    mark.write_text(str(time.time()))
                    os.kill(os.getpid(), signal.SIGKILL)

            pids = lab.train(work_dir, first=lambda: at_iteration(3 + number, act))
            code = wait(pids[1 - victim])
            seconds = time.time() - float(mark.read_text())
            wait(pids[victim])
            return [f'exit code {code}'] * (code != 1), seconds

        yield f'rank {number % 2}, {number}', run


def tests_of(*nodes: str) -> Callable[[str], Iterator[tuple[str, Trial]]]:
    """Return what yields every test of these nodes as a trial. They run in one go."""

    def trials(name: str) -> Iterator[tuple[str, Trial]]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / 'report.xml'
            command = [sys.executable, '-m', 'pytest', '-q', f'--junit-xml={report}']
            subprocess.run([*command, *nodes], cwd=ROOT, stdout=subprocess.DEVNULL)
            cases = list(ElementTree.parse(report).iter('testcase'))
        for case in cases:
            wrong = [part.tag for part in case if part.tag in ('failure', 'error')]
            if not any(part.tag == 'skipped' for part in case):
                yield str(case.get('name')), lambda *_, wrong=wrong: (wrong, None)

    return trials


class Fault(NamedTuple):
    text: str  # of the table
    survived: str  # what it means
    trials: Callable[[str], Iterator[tuple[str, Trial]]]
    each: int = 1  # faults in a trial


SEAL = 'tests/checkpoints/test_seal.py'
FAULTS = {
    'kill': Fault(
        'SIGKILL anywhere in a training, then `--resume auto`',
        'equal to the last bit',
        chains,
        KILLS,
    ),
    'write': Fault(
        'SIGKILL in the writing of a checkpoint (`max_keep_ckpts=1`)',
        'equal to the last bit',
        chains,
        KILLS,
    ),
    'signal': Fault(
        'SIGTERM, SIGINT, SIGUSR1 or SIGHUP, then `--resume`',
        'equal to the last bit',
        chains,
    ),
    'exit': Fault(
        'a signal: the time until all processes have saved and ended', 'code 75', exits
    ),
    'rank': Fault(
        'a process of two is killed: the time until the other has ended',
        'ended with an error',
        dead_ranks,
    ),
    'damage': Fault(
        '100 flipped bits and 10 cuts, anywhere in a checkpoint',
        'named, and passed over by `--resume`',
        damages,
    ),
    'poison': Fault(
        'NaN or infinity in a loss, a term, an image, a weight or a gradient',
        'no step made, a checkpoint left',
        poisons,
    ),
    'disk': Fault(
        'a full disk: 20 places in a write, the sync, the rename',
        'the old file is whole',
        tests_of(f'{SEAL}::test_a_full_disk_leaves_the_old_file_and_says_what_is_missing'),
    ),
    'code': Fault(
        'code in a checkpoint or its config, on every road that reads one',
        'none was run',
        tests_of('tests/checkpoints/test_read.py', '-k', 'code'),
    ),
}


def measure(results: Path, names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            file = results / f'{name}.json'
            done = json.loads(file.read_text()) if file.is_file() else {}
            if done.get('whole'):
                continue
            for number, (label, run) in enumerate(FAULTS[name].trials(name)):
                if label in done.get('trials', {}):
                    continue
                began = time.monotonic()
                wrong, noticed = run(Path(folder), Path(folder) / f'{name} {number}')
                record = dict(wrong=wrong, seconds=round(time.monotonic() - began, 1))
                record |= {} if noticed is None else dict(noticed=round(noticed, 2))
                done.setdefault('trials', {})[label] = record
                done |= dict(commit=commit(), hardware=hardware())
                file.write_text(json.dumps(done, indent=1) + '\n')
                print(f'{name}, {label}: {wrong[:2] or "well"}, {record}', flush=True)
            done['whole'] = True
            file.write_text(json.dumps(done, indent=1) + '\n')


def table(results: Path) -> str:
    rows = [
        '| fault | faults | trials | survived | which means | commit |',
        '|---|---|---|---|---|---|',
    ]
    for name, fault in FAULTS.items():
        file = results / f'{name}.json'
        if not file.is_file():
            continue
        record = json.loads(file.read_text())
        found = list(record['trials'].values())
        survived = sum(not trial['wrong'] for trial in found)
        means = fault.survived
        times = sorted(trial['noticed'] for trial in found if 'noticed' in trial)
        if times:
            middle = statistics.median(times)
            means += f', after {middle:.1f} s (median), {times[-1]:.1f} s (longest)'
        count = fault.each * len(found)
        rows.append(
            f'| {fault.text} | {count} | {len(found)} | {survived} | {means} '
            f'| {record["commit"]} |'
        )
    return '\n'.join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', type=Path)
    parser.add_argument('--only', nargs='+', choices=FAULTS, default=list(FAULTS))
    parser.add_argument('--write', type=Path, metavar='FILE')
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    if args.write is None:
        measure(args.results, args.only)
        return
    text = args.write.read_text()
    new = re.sub(
        r'(<!-- faults -->\n).*?(<!-- end -->)',
        lambda m: f'{m[1]}{table(args.results)}\n{m[2]}',
        text,
        flags=re.DOTALL,
    )
    args.write.write_text(new)


if __name__ == '__main__':
    main()
