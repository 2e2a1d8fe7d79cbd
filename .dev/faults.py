"""The long part of the fault injections, and the table of docs/reliability.md.

    .dev/faults.py RESULTS [--only NAME ...]    trials to RESULTS/*.json; none is done twice
    .dev/faults.py RESULTS --write FILE         the table in a Markdown file

Every trial is a real training in processes of its own. On two cores all of it takes about
forty minutes; it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / 'tests'), str(ROOT / 'tests' / 'faults')]

from lab import Lab, chain_of_kills, interrupted  # noqa: E402

from mmlogo.engine.hooks.provenance import commit, hardware  # noqa: E402

BASES = ('simsiam_logo_r18_cifar10', 'moco_logo_r18_cifar10')
# name -> what it says in the table
FAULTS = {
    'kill': 'SIGKILL anywhere in a training, then `--resume auto`',
    'write': 'SIGKILL in the writing of a checkpoint (`max_keep_ckpts=1`)',
    'signal': 'SIGTERM, SIGINT, SIGUSR1 or SIGHUP, then `--resume`',
}
KILLS = 3  # in a chain


def trials(
    name: str, chains: int
) -> Iterator[tuple[str, Callable[[Path, Path], list[str]]]]:
    """Yield the trials of a fault: their names and what to call with two folders."""
    for base in BASES:
        for workers, ranks in ((0, 1), (2, 1), (0, 2)):
            for number in range(chains):
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
                        return interrupted(lab, work_dir, [kind], draw.randint(2, 14))
                    return chain_of_kills(lab, work_dir, KILLS, draw, name == 'write')

                method = base.partition('_r18')[0]
                yield f'{method} {workers} workers {ranks} ranks, {number}', run


def measure(results: Path, names: list[str], chains: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            file = results / f'{name}.json'
            done = json.loads(file.read_text()) if file.is_file() else {}
            for label, run in trials(name, chains):
                if label in done.get('trials', {}):
                    continue
                began = time.monotonic()
                wrong = run(Path(folder), Path(folder) / f'{name} {label}')
                record = dict(wrong=wrong, seconds=round(time.monotonic() - began, 1))
                done.setdefault('trials', {})[label] = record
                done |= dict(commit=commit(), hardware=hardware())
                file.write_text(json.dumps(done, indent=1) + '\n')
                print(
                    f'{name}, {label}: {wrong[:2] or "equal"}, {record["seconds"]} s',
                    flush=True,
                )


def table(results: Path) -> str:
    rows = [
        '| fault | trainings | equal to the last bit | kills or signals | commit |',
        '|---|---|---|---|---|',
    ]
    for name, text in FAULTS.items():
        file = results / f'{name}.json'
        if not file.is_file():
            continue
        record = json.loads(file.read_text())
        found = record['trials'].values()
        equal = sum(not trial['wrong'] for trial in found)
        each = 1 if name == 'signal' else KILLS
        count = each * len(found)
        rows.append(f'| {text} | {len(found)} | {equal} | {count} | {record["commit"]} |')
    return '\n'.join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', type=Path)
    parser.add_argument('--only', nargs='+', choices=FAULTS, default=list(FAULTS))
    parser.add_argument('--chains', type=int, default=6, help='trainings of each kind')
    parser.add_argument('--write', type=Path, metavar='FILE')
    args = parser.parse_args()
    args.results.mkdir(parents=True, exist_ok=True)
    if args.write is None:
        measure(args.results, args.only, args.chains)
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
