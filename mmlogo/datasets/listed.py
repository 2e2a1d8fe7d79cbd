"""Part of a data set, by a list in a text file, and how such a list is drawn."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmlogo.registry import DATASETS

# What a line may be: a name, a label and a name, a name and a label.
FORMS = tuple(map(re.compile, (r'(.+)', r'\d+[ \t](.+)', r'(.+)[ \t]\d+')))


@DATASETS.register_module()
def listed_subset(dataset: dict, listing: str) -> Any:
    """The images of a data set that a text file lists, one a line.

    A line is a path below the folder of classes (`cat/0001.jpg`), a file name alone
    (`n01440764_10026.JPEG`, as SimCLR's lists of 1 and 10 per cent have it), or, where
    all lines are numbers, a position in the data set. `tools/make_split.py` writes one.
    Where the lines are not names as they are, all may have a label and a space or tab
    before the name (`797 n04235860/n04235860_14959.JPEG`, as LEWEL's lists have it), or
    after it. Such labels are not read: classes are the data set's.

    Args:
        dataset: Config of the data set: in memory, or one of mmpretrain's.
        listing: The file.

    Returns:
        The data set itself, with the listed images alone, in its own order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an image is not in the data set, is listed twice, is one of
            several of that name, or with and without its label is another; named
            with its line.
    """
    path = Path(listing).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'there is no list of images {path}; make one with tools/make_split.py, or '
            'name one that was published with --cfg-options '
            'train_dataloader.dataset.listing=FILE'
        )
    lines = [line.strip() for line in path.read_text().splitlines()]
    whole = DATASETS.build(dataset)
    chosen = positions([line for line in lines if line], whole, str(path))
    whole.get_subset_(sorted(chosen))
    return whole


def positions(lines: Sequence[str], dataset: Any, listing: str) -> list[int]:
    """Where in the data set the listed images are."""
    if not lines:
        raise ValueError(f'{listing} lists no image; one a line is expected')
    if all(line.isdecimal() for line in lines):
        known = {str(position): position for position in range(len(dataset))}
    else:
        known = _by_name(names_of(dataset))
    names = _without_labels(lines, known, listing)
    found: dict[int, str] = {}
    for number, (line, name) in enumerate(zip(lines, names, strict=True), 1):
        position = known.get(name)
        where = f'{listing}, image {number}: {line!r}'
        if position is None:
            raise ValueError(
                f'{where} is not among the {len(dataset)} images of the data set '
                f'(such as {next(iter(known), None)!r}); is it a list of another one?'
            )
        if position < 0:
            raise ValueError(
                f'{where} is the name of several images; list them with their folders'
            )
        if position in found:
            raise ValueError(f'{where} is listed twice; remove one')
        found[position] = line
    return list(found)


def _without_labels(
    lines: Sequence[str], known: Mapping[str, int], listing: str
) -> Sequence[str]:
    """The names in the lines, by the form in which most are known; '' is no name."""
    readings = [
        [match[1] if (match := form.fullmatch(line)) else '' for line in lines]
        for form in FORMS
    ]
    # the lines as they are come first: a file's own name may begin with a number
    best = max(readings, key=lambda names: sum(name in known for name in names))
    if best is not readings[0]:
        for number, (line, *ways) in enumerate(zip(lines, *readings, strict=True), 1):
            names = [name for name in ways if name in known]
            if len({known[name] for name in names}) > 1:
                raise ValueError(
                    f'{listing}, image {number}: {line!r} may be any of {names}; list '
                    'names without labels'
                )
    return best


def _by_name(names: Sequence[str]) -> dict[str, int]:
    """Position by path and by file name; -1 for a file name that several have."""
    known: dict[str, int] = {}
    for position, name in enumerate(names):
        short = name.rpartition('/')[2]
        known[short] = -1 if short in known else position
    return {name: position for position, name in enumerate(names)} | known


def names_of(dataset: Any) -> list[str]:
    """Paths of the images, relative to the folder of classes.

    Raises:
        ValueError: If the data set came out of an archive, where they have none.
    """
    names = getattr(dataset, 'names', None)
    if names is None and hasattr(dataset, 'get_data_info'):
        folder = str(dataset.img_prefix).rstrip('/') + '/'
        names = [
            dataset.get_data_info(position)['img_path'].removeprefix(folder)
            for position in range(len(dataset))
        ]
    if names is None:
        raise ValueError(
            'the images of this data set have no names: it was read from an archive; '
            'list positions instead (tools/make_split.py --dataset), or give it as a '
            'tree of folders'
        )
    return names


def balanced(
    names: Sequence[str], labels: Sequence[int], fraction: float, seed: int
) -> list[int]:
    """Positions of a share of every class, at least one of each.

    The images of a class are ordered by a hash of (seed, name) and the first taken: the
    same on every machine, in any order of the names, and 1 per cent is part of 10.

    Args:
        names: N names, no two alike.
        labels: Their N classes.
        fraction: In (0, 1].
        seed: Other seeds, other images.

    Raises:
        ValueError: If the fraction is out of range or there is no image.
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f'fraction={fraction}, but it must be in (0, 1]; 1 per cent is 0.01'
        )
    if not names:
        raise ValueError('there is no image to choose from')
    classes: dict[int, list[int]] = {}
    for position, label in enumerate(labels):
        classes.setdefault(label, []).append(position)
    chosen: list[int] = []
    for members in classes.values():
        members.sort(key=lambda p: hashlib.sha256(f'{seed}/{names[p]}'.encode()).digest())
        chosen += members[: max(1, round(fraction * len(members)))]
    return sorted(chosen)
