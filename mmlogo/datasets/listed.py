"""Subsets of a data set: read one from a list in a text file, and draw such a list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from mmlogo.registry import DATASETS

# The forms of a line: a name; a label and a name; a name and a label.
FORMS = tuple(map(re.compile, (r'(.+)', r'\d+[ \t](.+)', r'(.+)[ \t]\d+')))


@DATASETS.register_module()
def listed_subset(dataset: dict, listing: str) -> Any:
    """Build a data set and keep only the images that a text file lists, one per line.

    `tools/make_split.py` writes such a file. A line has one of these forms:

    - A path below the folder of classes, such as `cat/0001.jpg`.
    - A file name alone, such as `n01440764_10026.JPEG` in SimCLR's lists of 1 and 10 per
      cent.
    - A position in the data set, if all lines are numbers.
    - A name and a label, separated by a space or tab, such as
      `797 n04235860/n04235860_14959.JPEG` in LEWEL's lists. All lines must have the label
      on the same side. The labels are not read: classes are those of the data set.

    A list chooses among the images that the data set has read, and opens no file. Names
    lead down from the folder of classes: a path from the root, `..`, a backslash and a
    NUL are refused, also if the data set has an image of that name. A link inside the data
    root counts as what it points to, because the owner of the data has put it there.

    Args:
        dataset: Config of the data set, one in memory or one of mmpretrain's.
        listing: Path of the text file.

    Returns:
        The data set with only the listed images, in its own order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If an image is not in the data set, is listed twice or has the name of
            several images, if a line names different images with and without its label,
            or if an image is outside the folder of classes. The message names the line.
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
    """Return the positions of the listed images in the data set.

    Args:
        lines: Lines of the list, without empty ones.
        dataset: The data set.
        listing: Name of the list, for error messages.
    """
    if not lines:
        raise ValueError(f'{listing} lists no image; one a line is expected')
    if all(line.isdecimal() for line in lines):
        known = {str(position): position for position in range(len(dataset))}
        paths = list(known)
    else:
        paths = names_of(dataset)
        known = _by_name(paths)
    names = _without_labels(lines, known, listing)
    found: dict[int, str] = {}
    for number, (line, name) in enumerate(zip(lines, names, strict=True), 1):
        position = known.get(name)
        where = f'{listing}, image {number}: {line!r}'
        # A file name alone may be of an image whose annotation leads outside.
        path = name or line if position is None or position < 0 else paths[position]
        if _leads_out(path):
            raise ValueError(
                f'{where} may be outside the folder of classes; list paths below it, such '
                'as cat/0001.jpg, without .. and with / between folders'
            )
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


def _leads_out(name: str) -> bool:
    """Return whether a name may be of a file outside the folder that it is joined to."""
    # Windows knows every way to write a path: with slashes, backslashes and drives.
    path = PureWindowsPath(name)
    return bool(path.anchor or {'..'} & {*path.parts} or {*name} & {'\\', '\0'})


def _without_labels(
    lines: Sequence[str], known: Mapping[str, int], listing: str
) -> Sequence[str]:
    """Return the name in every line, or '' for a line that does not have the form.

    All lines have the form in which most of their names are known.
    """
    readings = [
        [match[1] if (match := form.fullmatch(line)) else '' for line in lines]
        for form in FORMS
    ]
    # `max` takes the first of equals, and the first form has no label. So a file name that
    # begins with a number stays whole.
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
    """Return positions by path and by file name. A file name of several images has -1."""
    known: dict[str, int] = {}
    for position, name in enumerate(names):
        short = name.rpartition('/')[2]
        known[short] = -1 if short in known else position
    return {name: position for position, name in enumerate(names)} | known


def names_of(dataset: Any) -> list[str]:
    """Return the paths of the images, relative to the folder of classes.

    Raises:
        ValueError: If the data set was read from an archive, where images have no paths.
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
    """Draw the same share of every class, at least one image each. Return positions.

    The images of a class are ordered by a hash of (seed, name), and the first ones are
    taken. So the result is the same on every machine and for any order of the names, and
    the images of 1 per cent are among those of 10 per cent.

    Args:
        names: N different names.
        labels: The N classes of the images.
        fraction: The share, in (0, 1].
        seed: Seed of the hash.

    Raises:
        ValueError: If the fraction is out of its range or there is no image.
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
