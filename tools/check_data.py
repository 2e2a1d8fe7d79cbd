"""Read every image once, before a long run: tools/check_data.py DIR, or CONFIG.

With DIR, the tool reads all images below the folder. With CONFIG, it reads those of every
data set of the config. They are decoded as in training, with the same limit of size. The
tool prints the bad files and exits with 1 if there are any. It changes and deletes nothing.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmlogo.config import load_config
from mmlogo.datasets.image_folder import ImageFolder
from mmlogo.launch.checks import check_data_roots
from mmlogo.launch.cli import set_data_root
from mmlogo.launch.lint import check_keys
from mmlogo.registry import DATASETS
from mmlogo.views.transforms import LoadImage, reason


class Images(NamedTuple):
    """The image files of a data set, and what loads them."""

    title: str
    load: LoadImage
    paths: list[str]
    classes: int | None


class Outcome(NamedTuple):
    path: str
    width: int = 0
    height: int = 0
    problem: str = ''

    @property
    def pixels(self) -> int:
        return self.width * self.height

    def __str__(self) -> str:
        # A name may have bytes that are no text.
        path = self.path.encode('utf-8', 'backslashreplace').decode()
        return f'{path}: ' + (self.problem or f'{self.width} x {self.height}')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', help='a folder, or a config: a path or mmlogo::name.py')
    parser.add_argument(
        '--workers',
        type=int,
        default=min(8, os.cpu_count() or 1),
        help='processes that read; default: one per core, at most 8',
    )
    parser.add_argument(
        '--list', type=Path, metavar='FILE', help='write the bad files to FILE, one a line'
    )
    parser.add_argument(
        '--data-root', help='read every data set of CONFIG from this folder'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override values of CONFIG',
    )
    return parser.parse_args()


def of_folder(folder: str) -> Images:
    """Find the images below a folder. Its class folders are those that have an image."""
    dataset = ImageFolder(data_root=folder, with_label=False)
    paths = paths_of(dataset)
    tops = {Path(path).relative_to(folder).parts[:-1][:1] for path in paths}
    return Images(folder, LoadImage(), paths, len(tops - {()}) or None)


def of_dataset(title: str, dataset: ImageFolder) -> Images:
    """Find the images of a data set. Without a `LoadImage` of its own, take ours."""
    loads = [t for t in dataset.pipeline.transforms if isinstance(t, LoadImage)]
    classes = len(dataset.metainfo.get('classes') or ()) or None
    return Images(title, loads[0] if loads else LoadImage(), paths_of(dataset), classes)


def paths_of(dataset: ImageFolder) -> list[str]:
    return [dataset.get_data_info(place)['img_path'] for place in range(len(dataset))]


def of_config(cfg: Config) -> Iterator[Images]:
    """Build every data set of a config and find its image files.

    Images that are held in memory are read when the data set is built, which raises OSError
    at the first bad one.
    """
    init_default_scope(cfg.get('default_scope', 'mmlogo'))
    known: dict[tuple[str, ...], str] = {}
    for name in cfg:
        if not name.endswith('_dataloader') or not cfg[name]:
            continue
        dataset = DATASETS.build(cfg[name].dataset)
        if not hasattr(dataset, 'get_data_info'):
            print(f'{name}: {len(dataset)} images, read when the data set was built')
            continue
        images = of_dataset(name, dataset)
        same = known.setdefault(tuple(images.paths), name)
        if same == name:
            yield images
        else:
            print(f'{name}: the same files as {same}')


def read(load: LoadImage, path: str) -> Outcome:
    """Decode one image as training does."""
    try:
        height, width = load.read(path).shape[:2]
    except Exception as error:
        return Outcome(path, problem=reason(error))
    return Outcome(path, width, height)


def read_all(images: Images, workers: int) -> Iterator[Outcome]:
    """Start to read images in several processes. The outcomes are in the images' order."""
    job = partial(read, images.load)
    if workers < 2:
        return map(job, images.paths)
    pool = ProcessPoolExecutor(workers)
    # The processes are forked here, before the progress bar has a thread.
    return drain(pool, pool.map(job, images.paths, chunksize=16))


def drain(pool: ProcessPoolExecutor, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
    """Yield what a pool returns, and end its processes.

    Raises:
        OSError: If a process was killed.
    """
    try:
        yield from outcomes
    except BrokenProcessPool:
        raise OSError(
            'a process that reads images was killed, probably because memory ran out; use '
            'fewer --workers'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def check(images: Images, workers: int) -> list[Outcome]:
    """Read the images of a data set, print a summary, and return the bad ones."""
    bad: list[Outcome] = []
    smallest = largest = None
    outcomes = read_all(images, workers)
    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn())
    with Progress(
        *columns,
        TimeRemainingColumn(),
        TextColumn('{task.fields[bad]} bad'),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task('reading', total=len(images.paths), bad=0)
        for outcome in outcomes:
            if outcome.problem:
                bad.append(outcome)
            else:
                smallest = min(smallest or outcome, outcome, key=lambda x: x.pixels)
                largest = max(largest or outcome, outcome, key=lambda x: x.pixels)
            bar.update(task, advance=1, bad=len(bad))
    good = len(images.paths) - len(bad)
    classes = '' if images.classes is None else f', {images.classes} classes'
    print(f'{images.title}: {good} of {len(images.paths)} images were read{classes}')
    if smallest and largest:
        print(f'  smallest: {smallest}\n  largest: {largest}')
    if bad:
        print(f'  {len(bad)} bad files:')
        print(*(f'    {outcome}' for outcome in bad), sep='\n')
    return bad


def sources(args: argparse.Namespace) -> Iterator[Images]:
    if Path(args.source).is_dir():
        yield of_folder(args.source)
        return
    cfg = load_config(args.source)
    cfg.merge_from_dict(args.cfg_options)
    if args.data_root:
        set_data_root(cfg, args.data_root)
    check_keys(cfg)
    check_data_roots(cfg)
    yield from of_config(cfg)


def write(out: Path, bad: Sequence[Outcome]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = ''.join(f'{path}\n' for path in dict.fromkeys(x.path for x in bad))
    out.write_bytes(os.fsencode(lines))


def main() -> int:
    args = parse_args()
    bad = [outcome for images in sources(args) for outcome in check(images, args.workers)]
    if args.list is not None:
        write(args.list, bad)
    if bad:
        print(
            f'{len(bad)} bad files: repair or remove them, or train with '
            "bad_samples='skip' in the config of the data set"
        )
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
