"""Pretrain SimSiam-LoGo in minutes on a CPU, without any download of data.

    tools/quickstart.py [--work-dir DIR] [--cfg-options KEY=VALUE ...]

It trains `configs/quickstart.py` on tiles of photographs that scikit-image and scikit-learn
contain. It prints the k-NN accuracy of raw pixels, of the untrained and of the trained
network. It draws the views, the curves and a map of the features.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import shutil
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.runner import Runner

if __name__ == '__main__':  # hide what packages print while they are imported
    warnings.filterwarnings('ignore')
    MMLogger.get_instance('mmengine', log_level='ERROR')

with contextlib.redirect_stdout(None if __name__ == '__main__' else sys.stdout):
    import torch

    from mmlogo import launch
    from mmlogo.config import load_config
    from mmlogo.datasets.in_memory import InMemoryImages
    from mmlogo.datasets.photo_tiles import FREE
    from mmlogo.engine import unwrapped
    from mmlogo.evaluation import Features
    from mmlogo.launch.lint import check_keys
    from mmlogo.report import draw_curves, draw_embedding, draw_views
    from mmlogo.runs import read_run
    from mmlogo.views import SeededIndex, pack_seeds

CONFIG = 'mmlogo::quickstart.py'
PICTURES = ('views.png', 'curves.png', 'embedding.png')
SHOWN = ('astronaut', 'coffee', 'camera')  # shown in views.png; all are in FREE


class Result(NamedTuple):
    """The results of a quickstart. Accuracies are k -> per cent."""

    raw: dict[int, float]
    untrained: dict[int, float]
    trained: dict[int, float]
    images_per_s: float  # median over the log
    seconds: float  # training with its validation
    work_dir: Path
    checkpoint: Path
    log: Path
    sizes: tuple[int, int]  # images in the bank, and queries


class QuietRunner(Runner):
    """A Runner that writes its log to the file, and only errors to the terminal."""

    def build_logger(self, *args, **kwargs) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.setLevel(logging.ERROR)
        return logger


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument(
        '--work-dir',
        default='work_dirs/quickstart',
        help='folder for the results; an earlier quickstart in it is deleted; default: '
        'work_dirs/quickstart',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        metavar='KEY=VALUE',
        help='override values, such as train_cfg.max_epochs=3',
    )
    args = parser.parse_args()
    torch.set_num_threads(choose_threads())
    try:
        result = quickstart(Path(args.work_dir), args.cfg_options)
    except (ValueError, FileNotFoundError) as error:
        print(f'quickstart: {error}', file=sys.stderr)
        return 1
    show(result)
    return 0


def quickstart(work_dir: Path, options: dict | None = None) -> Result:
    """Train, evaluate and draw into `work_dir`.

    Args:
        work_dir: Folder for the results. An earlier quickstart in it is deleted.
        options: Values of the config to override, by dotted key. Default: None.

    Raises:
        ValueError: If `work_dir` has files of something else, or if a key is misspelt.
    """
    cfg = prepare(work_dir, options or {})
    empty(work_dir)
    runner = QuietRunner.from_cfg(cfg)
    begun = time.perf_counter()
    runner.train()
    seconds = time.perf_counter() - begun
    raw = raw_pixels(runner)
    draw(runner, work_dir, raw)
    run = read_run(work_dir)
    knn = {a.k: run.scalars[a.scalar] for a in run.accuracies() if a.k is not None}
    return Result(
        raw=raw,
        untrained={k: dict(points)[0.0] for k, points in knn.items()},
        trained={k: points[-1][1] for k, points in knn.items()},
        images_per_s=statistics.median(speed for _, speed in run.scalars['images_per_s']),
        seconds=seconds,
        work_dir=work_dir,
        checkpoint=Path((work_dir / 'last_checkpoint').read_text().strip()),
        log=next(work_dir.glob('*/*.log')),
        sizes=(
            len(runner.val_loop.bank_dataloader.dataset),
            len(runner.val_dataloader.dataset),
        ),
    )


def prepare(work_dir: Path, options: dict) -> Config:
    """Return the config to run, in bfloat16 if that is faster."""
    cfg = load_config(CONFIG)
    cfg.merge_from_dict(options)
    launch.drop_hooks(cfg)
    cfg.work_dir = str(work_dir)
    # bfloat16 convolutions are fast with AVX-512. Without it float32 is the safe choice.
    if torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == 'AVX512':
        launch.use_amp(cfg)
    check_keys(cfg)
    return cfg


def choose_threads() -> int:
    """Return the number of threads, all or one, with which convolutions are faster.

    Threads wait for each other in every operation. So all threads are slower than one if
    other work uses the cores, or if a container may use fewer cores than it sees.
    """
    images, weight = torch.randn(64, 16, 32, 32), torch.randn(16, 16, 3, 3)
    taken = {}
    for threads in {torch.get_num_threads(), 1}:
        torch.set_num_threads(threads)
        begun = time.perf_counter()
        for _ in range(60):
            torch.conv2d(images, weight, padding=1).relu_()
        taken[threads] = time.perf_counter() - begun
    return min(taken, key=taken.__getitem__)


def empty(work_dir: Path) -> None:
    """Remove an earlier quickstart.

    Raises:
        ValueError: If the folder has files and no quickstart made it.
    """
    if work_dir.exists() and any(work_dir.iterdir()):
        if not (work_dir / Path(CONFIG.removeprefix('mmlogo::')).name).is_file():
            raise ValueError(
                f'{work_dir} holds files that no quickstart wrote, and a quickstart would '
                'delete them; give another folder with --work-dir'
            )
        shutil.rmtree(work_dir)


def raw_pixels(runner: Runner) -> dict[int, float]:
    """Return the k-NN accuracy of the network's inputs, normalised pixels, by k."""
    loop, metric = runner.val_loop, runner.val_evaluator.metrics[0]
    preprocess = unwrapped(runner.model).data_preprocessor
    bank, query = (
        Features(
            preprocess(dict(inputs=dataset.images), False)['inputs'].flatten(1),
            dataset.labels.to(preprocess.device),
            torch.arange(len(dataset)),
        )
        for dataset in (loop.bank_dataloader.dataset, loop.dataloader.dataset)
    )
    scores = metric.compute(bank, query)
    return {k: scores[f'top1_k{k}'] for k in metric.k}


def draw(runner: Runner, work_dir: Path, raw: dict[int, float]) -> None:
    """Draw the three pictures. They show only photographs of `FREE`."""
    train, sampler = runner.train_dataloader.dataset, runner.train_dataloader.sampler
    classes = train.metainfo['classes']
    tiles = [
        (name, _busiest(train, classes.index(name))) for name in SHOWN if name in classes
    ]
    if tiles:
        draw_views(
            [train.images[n] for _, n in tiles],
            pack_seeds([SeededIndex(n, 0, sampler.seed) for _, n in tiles]),
            unwrapped(runner.model).data_preprocessor.specs,
            work_dir / 'views.png',
            [f'tile of {name}' for name, _ in tiles],
        )
    draw_curves(work_dir, work_dir / 'curves.png', raw)
    test = runner.val_dataloader.dataset
    runner.model.eval()
    metric = runner.val_evaluator.metrics[0]
    features = runner.val_loop.collect(runner.val_dataloader, [metric], report=False)
    features = features[metric.features]
    free = [
        n
        for n, i in enumerate(features.label.tolist())
        if test.metainfo['classes'][i] in FREE
    ]
    draw_embedding(
        features.feature,
        features.label,
        test.metainfo['classes'],
        work_dir / 'embedding.png',
        {n: test.images[features.index[n]] for n in free},
        f'{len(test):,} test tiles by their features in the trained network (t-SNE)',
    )


def _busiest(dataset: InMemoryImages, label: int) -> int:
    """Return the image of a class with the most contrast. A tile of sky shows little."""
    where = (dataset.labels == label).nonzero().squeeze(1)
    contrast = dataset.images[where].float().flatten(1).std(dim=1)
    return int(where[contrast.argmax()])


def show(result: Result) -> None:
    """Print the accuracies side by side, and the paths of all results."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title='k-NN accuracy, %', title_justify='left', title_style='bold')
    table.add_column('features')
    for k in result.trained:
        table.add_column(f'k = {k}', justify='right')
    for name, scores in (
        ('raw pixels', result.raw),
        ('untrained network*', result.untrained),
        ('trained network', result.trained),
    ):
        style = 'bold' if scores is result.trained else None
        table.add_row(name, *(f'{scores[k]:.1f}' for k in result.trained), style=style)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    bank, queries = result.sizes
    minutes, seconds = divmod(round(result.seconds), 60)
    print(f'{queries:,} test tiles, neighbours among {bank:,} training tiles')
    print("* random weights, with BatchNorm's statistics fitted to the training views")
    print(f'trained in {minutes} min {seconds} s at {result.images_per_s:.0f} images/s')
    print(f'pictures    {", ".join(str(result.work_dir / name) for name in PICTURES)}')
    print(f'checkpoint  {result.checkpoint}')
    print(f'log         {result.log}')
    print(
        'next        . .venv/bin/activate, then tools/train.py: README, Train and evaluate'
    )


if __name__ == '__main__':
    sys.exit(main())
