"""List a share of a labelled data set: tools/make_split.py SOURCE OUT --fraction .01 ...

SOURCE is a folder of class folders, or an annotation file with one `name label` per line.
The tool draws the same share of every class. The list depends only on the names, the
fraction and the seed.
"""

import argparse
import sys
from pathlib import Path

from mmlogo.datasets.in_memory import EXTENSIONS
from mmlogo.datasets.listed import balanced
from mmlogo.registry import DATASETS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder or annotation file')
    parser.add_argument('out', type=Path, help='text file to write')
    parser.add_argument(
        '--fraction', type=float, required=True, help='share of every class, in (0, 1]'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the draw; default: 0')
    parser.add_argument(
        '--dataset',
        metavar='TYPE',
        help='type of a data set whose official archive is in SOURCE, such as '
        'InMemoryCIFAR10. Archives have no file names, so the list has positions in the '
        'training split',
    )
    return parser.parse_args()


def read_source(source: Path) -> tuple[list[str], list[int]]:
    """Read names and labels of images from a tree of folders or an annotation file."""
    if source.is_file():
        rows = [line.split() for line in source.read_text().splitlines() if line.strip()]
        for number, row in enumerate(rows, 1):
            if len(row) != 2 or not row[1].isdecimal():
                raise ValueError(
                    f'{source}, image {number}: {" ".join(row)!r}, but `name label` is '
                    'expected, the label a number'
                )
        return [name for name, _ in rows], [int(label) for _, label in rows]
    if not source.is_dir():
        raise FileNotFoundError(
            f'{source} is neither a folder nor an annotation file; for an official archive '
            'give the folder it is in and --dataset, such as InMemoryCIFAR10'
        )
    folders = sorted(folder for folder in source.iterdir() if folder.is_dir())
    files = [
        (f'{folder.name}/{path.name}', label)
        for label, folder in enumerate(folders)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in EXTENSIONS
    ]
    if not files:
        hint = f'; did you mean {source}/train?' if (source / 'train').is_dir() else ''
        raise FileNotFoundError(f'no images in {source}/<class>/*{hint}')
    return [name for name, _ in files], [label for _, label in files]


def read_dataset(kind: str, source: Path) -> tuple[list[str], list[int]]:
    """Return positions, as text, and labels of the training split of a data set."""
    dataset = DATASETS.build(dict(type=kind, data_root=str(source), split='train'))
    return [str(position) for position in range(len(dataset))], dataset.labels.tolist()


def main() -> None:
    args = parse_args()
    names, labels = (
        read_dataset(args.dataset, args.source)
        if args.dataset
        else read_source(args.source)
    )
    chosen = balanced(names, labels, args.fraction, args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(''.join(f'{names[position]}\n' for position in chosen))
    classes = {labels[position] for position in chosen}
    print(f'{len(chosen)} of {len(names)} images of {len(classes)} classes in {args.out}')


if __name__ == '__main__':
    sys.exit(main())
