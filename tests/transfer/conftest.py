"""Photographs with boxes, as COCO and as Pascal VOC lay them out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from mmengine.registry import DefaultScope
from PIL import Image
from skimage import data
from torch import nn

from mmlogo.config import load_config

# photograph -> what is on it: corners as shares of width and height, class of COCO and VOC
SEEN = {
    'astronaut': ((0.25, 0.05, 0.75, 0.95), 'person', 'person'),
    'chelsea': ((0.1, 0.05, 0.9, 0.95), 'cat', 'cat'),
    'coffee': ((0.3, 0.15, 0.8, 0.85), 'cup', 'bottle'),
    'rocket': ((0.4, 0.1, 0.6, 0.7), 'airplane', 'aeroplane'),
}
WIDTH, HEIGHT = 160, 120


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def photograph(name: str) -> Image.Image:
    return Image.fromarray(getattr(data, name)()).resize((WIDTH, HEIGHT))


def box_of(name: str) -> tuple[int, int, int, int]:
    """Corners in pixels, x2 and y2 outside."""
    x1, y1, x2, y2 = SEEN[name][0]
    return int(x1 * WIDTH), int(y1 * HEIGHT), int(x2 * WIDTH), int(y2 * HEIGHT)


@pytest.fixture(scope='session')
def tiny_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photographs with a box and a polygon each, for training and validation."""
    root = tmp_path_factory.mktemp('tiny_coco')
    (root / 'annotations').mkdir()
    from mmdet.datasets import CocoDataset

    classes = CocoDataset.METAINFO['classes']  # scores are looked for in every one
    categories = [dict(id=number, name=name) for number, name in enumerate(classes)]
    images, annotations = [], []
    for number, name in enumerate(SEEN, 1):
        x1, y1, x2, y2 = box_of(name)
        images.append(dict(id=number, file_name=f'{name}.jpg', width=WIDTH, height=HEIGHT))
        annotations.append(
            dict(
                id=number,
                image_id=number,
                category_id=classes.index(SEEN[name][1]),
                bbox=[x1, y1, x2 - x1, y2 - y1],
                area=(x2 - x1) * (y2 - y1),
                segmentation=[[x1, y1, x2, y1, x2, y2, x1, y2]],
                iscrowd=0,
            )
        )
    content = dict(images=images, annotations=annotations, categories=categories)
    for split in ('train2017', 'val2017'):
        (root / split).mkdir()
        for name in SEEN:
            photograph(name).save(root / split / f'{name}.jpg')
        path = root / 'annotations' / f'instances_{split}.json'
        path.write_text(json.dumps(content))
    return root


OBJECT = (
    '<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>'
    '<xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>'
)


@pytest.fixture(scope='session')
def tiny_voc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC2007 trainval and test, VOC2012 trainval: four photographs each.

    Corners count from one, the last inside. On the astronaut there are a small dog, 20
    pixels wide, and a car that is difficult.
    """
    root = tmp_path_factory.mktemp('tiny_voc')
    for year, lists in ((2007, ('trainval', 'test')), (2012, ('trainval',))):
        for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
            (root / f'VOC{year}' / folder).mkdir(parents=True)
        for name, (_, _, kind) in SEEN.items():
            x1, y1, x2, y2 = box_of(name)
            objects = OBJECT.format(x1 + 1, y1 + 1, x2, y2, name=kind, difficult=0)
            if name == 'astronaut':
                objects += OBJECT.format(11, 11, 30, 30, name='dog', difficult=0)
                objects += OBJECT.format(101, 11, 150, 60, name='car', difficult=1)
            photograph(name).save(root / f'VOC{year}' / 'JPEGImages' / f'{name}.jpg')
            (root / f'VOC{year}' / 'Annotations' / f'{name}.xml').write_text(
                f'<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height>'
                f'<depth>3</depth></size>{objects}</annotation>'
            )
        for part in lists:
            path = root / f'VOC{year}' / 'ImageSets' / 'Main' / f'{part}.txt'
            path.write_text('\n'.join(SEEN) + '\n')
    return root


@pytest.fixture(scope='session')
def resnets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple]:
    """`resnets(depth)`: torchvision's ResNet in eval mode, and the file it is saved in.

    Weights as drawn, BatchNorm's statistics fitted to a photograph, so that features
    keep their size.
    """
    folder, made = tmp_path_factory.mktemp('resnets'), {}

    def make(depth: int) -> tuple[nn.Module, Path]:
        if depth not in made:
            torch.manual_seed(depth)
            model = getattr(torchvision.models, f'resnet{depth}')()
            for x in model.modules():
                if isinstance(x, nn.BatchNorm2d):
                    x.momentum = 1.0
            model(normalised())
            torch.save(model.state_dict(), folder / f'resnet{depth}.pth')
            made[depth] = model.eval(), folder / f'resnet{depth}.pth'
        return made[depth]

    return make


def normalised() -> torch.Tensor:
    pixels = torch.from_numpy(np.asarray(photograph('chelsea').resize((128, 96))).copy())
    mean = torch.tensor([123.675, 116.28, 103.53])
    std = torch.tensor([58.395, 57.12, 57.375])
    return ((pixels - mean) / std).permute(2, 0, 1)[None]


@pytest.fixture(name='normalised', scope='session')
def a_photograph() -> torch.Tensor:
    """(1, 3, 96, 128), in ImageNet's mean and deviation, RGB."""
    return normalised()


@pytest.fixture
def config() -> Callable:
    """`config(name)`: of configs/detection."""
    return lambda name: load_config(f'mmlogo::detection/{name}.py')
