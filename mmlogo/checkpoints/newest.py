"""Finds the newest checkpoint of a work dir from which a training can go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmlogo.checkpoints.read import read_checkpoint

_NAME = re.compile(r'(?P<kind>.*?)(?P<number>\d+)\.pth')
# What a resumed training needs beside the weights.
_NEEDED = ('meta', 'optimizer', 'message_hub')


class Found(NamedTuple):
    """The checkpoint to resume from, None if there is none, and what was passed over."""

    path: Path | None
    passed_over: list[tuple[Path, str]]  # with the reason


def newest_valid(work_dir: str | Path) -> Found:
    """Find the newest whole checkpoint of a work dir, whatever `last_checkpoint` says.

    The names of checkpoints end with their epoch or iteration. Files of each kind are read
    from the largest number downwards until one is whole, and of these the one with the most
    iterations is taken.
    """
    passed_over: list[tuple[Path, str]] = []
    best: tuple[int, Path] | None = None
    for files in _by_kind(Path(work_dir)):
        for path in files:
            try:
                iteration = _iteration(path)
            except (OSError, ValueError) as error:
                passed_over.append((path, str(error)))
            else:
                best = max(best or (iteration, path), (iteration, path))
                break
    return Found(best[1] if best else None, passed_over)


def checkpoints_in(work_dir: str | Path) -> list[Path]:
    """Return the checkpoints of a training, without those of its best scores."""
    return [path for files in _by_kind(Path(work_dir)) for path in files]


def _by_kind(folder: Path) -> Iterator[list[Path]]:
    """Yield the files of each kind, such as epoch_*.pth, the largest number first."""
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.glob('*.pth')):
        match = _NAME.fullmatch(path.name)
        if match and not path.name.startswith('best_'):
            kinds.setdefault(match['kind'], []).append((int(match['number']), path))
    for files in kinds.values():
        yield [path for _, path in sorted(files, reverse=True)]


def _iteration(path: Path) -> int:
    """Read a checkpoint and return its iteration.

    Raises:
        ValueError: If it is damaged, or if no training can go on from it.
    """
    content = read_checkpoint(path)
    missing = [
        key for key in _NEEDED if not isinstance(content, dict) or key not in content
    ]
    if missing:
        raise ValueError(f'{path} has no {", ".join(missing)}, so it cannot be resumed')
    return int(content['meta'].get('iter', 0))
