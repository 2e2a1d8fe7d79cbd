"""How time and memory grow: with views, the queue, the bank of k-NN, names of files.

Each row is one size of one thing, timed in turn with the other sizes of it. `per` is the
time for one view, key or so, beside that of the smallest size: 1 is linear growth.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from benchmarks import rounds
from torch import nn

from mmlogo.datasets.listed import positions
from mmlogo.evaluation.knn import nearest
from mmlogo.models.heads import InfoNCEPull
from mmlogo.registry import MODELS
from mmlogo.views import MultiCropPreprocessor

SIZES = dict(
    views=[2, 3, 4, 6, 8],
    queue=[4096, 16384, 65536],
    bank=[10000, 50000, 200000],
    names=[10000, 100000, 1000000],
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    rounds.add_arguments(parser)
    for name, sizes in SIZES.items():
        parser.add_argument(f'--{name}', type=int, nargs='*', default=sizes)
    parser.add_argument('--batch', type=int, default=64)


def views(count: int, batch: int) -> Callable[[], object]:
    """Two global views of 32 pixels and the rest local ones of 16, made and trained on."""
    colours = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.2)
    local = dict(role='local', size=16, scale=(0.05, 0.2))
    kinds = dict(
        global_views=dict(role='global', count=2, size=32, scale=(0.2, 1.0), **colours),
        local_views=dict(local, count=count - 2, **colours),
    )
    preprocessor = MultiCropPreprocessor(
        views=kinds, mean=(127.0,) * 3, std=(64.0,) * 3, channels_last=True
    )
    backbone = MODELS.build(
        dict(
            type='mmpretrain.ResNet_CIFAR',
            depth=18,
            stem_channels=16,
            base_channels=16,
            norm_cfg=dict(type='BN'),
        )
    )
    network = nn.Sequential(backbone).to(memory_format=torch.channels_last).train()
    data = dict(
        inputs=torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8),
        seeds=torch.stack([torch.tensor([0, 0, n]) for n in range(batch)]),
    )

    def step() -> None:
        made = preprocessor(data, True)['inputs']
        h = [network(x)[-1].mean((2, 3)) for x in made]
        torch.stack(h).square().mean().backward()

    return step


def queue(length: int, batch: int) -> Callable[[], object]:
    """Forward and backward of MoCo-LoGo's pull: four queries, two keys."""
    pull = InfoNCEPull(temperature=0.2)
    unit = [F.normalize(torch.randn(batch, 128)) for _ in range(6)]
    q, k = [x.requires_grad_() for x in unit[:4]], unit[4:]
    negatives = F.normalize(torch.randn(length, 128))

    def step() -> None:
        pulled = [one for x in q for one in pull.to_all(x, k, negatives=negatives)]
        torch.stack(pulled).mean().backward()

    return step


def bank(size: int, batch: int) -> Callable[[], object]:
    """The 20 nearest of 1,000 queries, 128 dimensions."""
    features, query = torch.randn(size, 128), torch.randn(1000, 128)
    return lambda: [found for found in nearest(query, features, 20)]


class Named:
    """A data set that has nothing but names."""

    metainfo = dict(classes=())

    def __init__(self, count: int) -> None:
        self.names = [f'n{i % 1000:08d}/n{i % 1000:08d}_{i}.JPEG' for i in range(count)]

    def __len__(self) -> int:
        return len(self.names)


def names(count: int, batch: int) -> Callable[[], object]:
    """A list of a tenth of the images, found among the names of all."""
    whole = Named(count)
    return lambda: positions(whole.names[::10], whole, 'list')


def run(args: argparse.Namespace) -> None:
    rows = []
    for kind in (views, queue, bank, names):
        sizes = getattr(args, kind.__name__)
        if not sizes:
            continue
        print(f'{kind.__name__}: {kind.__doc__}')
        works = {str(size): kind(size, args.batch) for size in sizes}
        seconds = rounds.in_turn(works, args.rounds)[0]
        first = [x / sizes[0] for x in seconds[str(sizes[0])]]
        for size in sizes:
            each = [x / size for x in seconds[str(size)]]
            low, middle, high = rounds.ratios(each, first)
            row = dict(kind=kind.__name__, size=size, seconds=seconds[str(size)])
            row['per'] = middle
            rows.append(row)
            print(
                f'  {size:8d} {1000 * statistics.median(row["seconds"]):10.1f} ms   per '
                f'{middle:.2f} ({low:.2f} to {high:.2f})'
            )
        rounds.write(args, rows)
