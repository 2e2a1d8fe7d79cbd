"""What several test files share: seeds, real images, a tiny encoder."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine.config.utils
import mmengine.runner.runner
import numpy as np
import pytest
import torch
from jaxtyping import install_import_hook
from PIL import Image
from torch import Tensor
from yapf.yapflib import yapf_api

from mmlogo.datasets import PhotoTiles

# Shapes and types that the seams of heads and parts declare, checked at every call.
with install_import_hook('mmlogo.models', 'beartype.beartype'):
    import mmlogo.models  # noqa: F401

# One thread: sums in one order, so that exact comparisons are exact, and tests
# that run beside each other do not slow each other down.
torch.set_num_threads(1)


def once(function: Callable) -> Callable:
    """Remember what a function gave for equal arguments."""
    known: dict[str, Any] = {}

    def remembered(*args: Any, **kwargs: Any) -> Any:
        key = repr((args, kwargs))
        if key not in known:
            known[key] = function(*args, **kwargs)
        return known[key]

    return remembered


# A Runner formats the text of its config five times, which takes longer than to build it.
yapf_api.FormatCode = once(yapf_api.FormatCode)
# To find one config of mmdet, MMEngine parses the metafiles of all.
mmengine.config.utils.load = once(mmengine.config.utils.load)
# For its log, a Runner asks compilers and drivers for their versions, in processes.
mmengine.runner.runner.collect_env = once(mmengine.runner.runner.collect_env)

# Big and small structure, saturated and gray: what colour operations differ on.
PHOTOS = ('astronaut', 'cat', 'coffee', 'camera')


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`data` marks what reads real data; `gpu` needs a GPU, and says so without."""
    for item in items:
        if {'cifar_root', 'coco_root'} & {*getattr(item, 'fixturenames', ())}:
            item.add_marker('data')
        if item.get_closest_marker('gpu') and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason='no CUDA device on this machine'))


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def photo_images() -> Tensor:
    """(32, 3, 32, 32) uint8: eight real tiles of each of four photographs."""
    return PhotoTiles(split='train', limit=8, names=PHOTOS).images


@pytest.fixture(scope='session')
def seeds() -> Callable[..., Tensor]:
    """`seeds(n, epoch=0, seed=0)`: (N, 3) int64, as `pack_seeds` makes them."""

    def make(n: int, epoch: int = 0, seed: int = 0) -> Tensor:
        same = torch.tensor([seed, epoch]).expand(n, 2)
        return torch.cat((same, torch.arange(n)[:, None]), dim=1)

    return make


def real_data(name: str, inside: str) -> Path:
    """A folder of real data, or a skip that says how to have it."""
    folder = os.environ.get('MMLOGO_DATA')
    if folder is None:
        pytest.skip(f'MMLOGO_DATA is not set; MMLOGO_DATA=DIR with DIR/{name}/{inside}')
    root = Path(folder).expanduser() / name
    if not (root / inside).is_dir():
        raise FileNotFoundError(f'MMLOGO_DATA={folder}, but there is no {root}/{inside}')
    return root


@pytest.fixture(scope='session')
def cifar_root() -> Path:
    """The folder of the real CIFAR-10 tree: train/<class>/*, test/<class>/*."""
    return real_data('cifar10', 'train')


@pytest.fixture(scope='session')
def coco_root() -> Path:
    """The folder of some real COCO images and their annotations."""
    return real_data('coco_mini', 'annotations')


@pytest.fixture
def tiny_encoder() -> dict:
    """Config of a 44,000-parameter ResNet-18: 32 px to ((N, 32, 4, 4),)."""
    # zero-initialised residual branches would hide most of the network from a test
    return dict(
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=4,
        base_channels=4,
        zero_init_residual=False,
    )


@pytest.fixture(scope='session')
def tiny_tree(tmp_path_factory: pytest.TempPathFactory, photo_images: Tensor) -> Path:
    """`train/<class>/*.png` and `test/<class>/*.png`: 4 classes of 6 and of 2 tiles."""
    root = tmp_path_factory.mktemp('tiny_tree')
    for name, tiles in zip(PHOTOS, photo_images.split(8), strict=True):
        for place, tile in enumerate(tiles):
            folder = root / ('train' if place < 6 else 'test') / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(tile.permute(1, 2, 0).numpy()).save(folder / f'{place}.png')
    return root
