"""Time the views of a batch beside those of other libraries, on a CPU.

`jpeg` reads files of about 500 x 375 pixels and makes two global and two local views of
224 and 96 pixels. `small` makes four views of 32 pixels from uint8 images in memory, with
the colours of the CIFAR configs. Every side crops, jitters, grays, blurs (`jpeg`), flips
and normalises with the same ranges and probabilities, and resizes with antialiasing where
it can. Where it cannot or need not, the name of the side says so. The sides take turns in
every round; a ratio is the seconds of a side over ours in the same round, so above 1 we
are faster. `growth` is ours for 2, 4, 6 and 8 views. Peers that are not installed are left
out: `MMLOGO_VENV=DIR bash tools/setup_env.sh peers` installs them.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision.transforms as T
from mmengine.dataset import Compose, default_collate
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2

from mmlogo.datasets.photo_tiles import PHOTOGRAPHS, PhotoTiles, load_photograph
from mmlogo.engine.hooks.provenance import commit, hardware
from mmlogo.views import (
    LoadImage,
    MultiCrop,
    MultiCropPreprocessor,
    SeededIndex,
    pack_seeds,
)

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
UNIT_MEAN, UNIT_STD = [m / 255 for m in MEAN], [s / 255 for s in STD]
SCALES = ((0.4, 1.0), (0.05, 0.4))  # of global and local crops
JITTER, JITTER_P, GRAY, BLUR, SIGMA = (0.4, 0.4, 0.4, 0.1), 0.8, 0.2, 0.5, (0.1, 2.0)

Sides = Iterator[tuple[str, Callable[[list], object]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--images', type=int, default=38, help='JPEGs in a batch')
    parser.add_argument('--sizes', type=int, nargs=2, default=(224, 96), help='from JPEGs')
    parser.add_argument('--batch', type=int, default=256, help='images of 32 pixels')
    parser.add_argument('--threads', type=int, default=1, help='of torch and OpenCV')
    parser.add_argument('--out', help='JSON file for the raw seconds')


def specs(sizes: tuple[int, int], blur: float, pairs: int = 1) -> dict:
    """Return two global and two local views, or `pairs` times as many."""
    look = dict(jitter=JITTER, jitter_p=JITTER_P, gray=GRAY, blur=blur, blur_sigma=SIGMA)
    return {
        role: dict(role=role, count=2 * pairs, size=size, scale=scale, **look)
        for role, size, scale in zip(('global', 'local'), sizes, SCALES, strict=True)
    }


def preprocessor(views: dict) -> MultiCropPreprocessor:
    return MultiCropPreprocessor(views=views, mean=MEAN, std=STD)


def ours_from_files(views: dict) -> Callable[[list], object]:
    pipeline, finish = Compose([LoadImage(), MultiCrop(views)]), preprocessor(views)

    def make(files: list) -> object:
        samples = [
            pipeline(dict(img_path=str(file), sample_idx=SeededIndex(n, 0, 0)))
            for n, file in enumerate(files)
        ]
        return finish(default_collate(samples), True)

    return make


def ours_from_memory(views: dict) -> Callable[[Tensor], object]:
    finish = preprocessor(views)

    def make(images: Tensor) -> object:
        seeds = pack_seeds([SeededIndex(n, 0, 0) for n in range(len(images))])
        return finish(dict(inputs=images, seeds=seeds), True)

    return make


def one_by_one(load: Callable, views: list[Callable]) -> Callable[[list], object]:
    """Load each image once and make its views; a batch is a stack for each view."""

    def make(images: list) -> object:
        samples = [[view(image) for view in views] for image in map(load, images)]
        return [torch.stack(view) for view in zip(*samples, strict=True)]

    return make


def open_rgb(file: Path) -> Image.Image:
    return Image.open(file).convert('RGB')


def read_rgb(file: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)


class PilBlur:
    """MoCo's blur (arXiv 2003.04297's code): PIL's, with a drawn sigma."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(np.random.uniform(*SIGMA)))


def torchvision_pil(sizes, blur, resample=T.InterpolationMode.BILINEAR) -> list[Callable]:
    soft = [T.RandomApply([PilBlur()], p=blur)] if blur else []
    rest = [
        T.RandomApply([T.ColorJitter(*JITTER)], p=JITTER_P),
        T.RandomGrayscale(p=GRAY),
        *soft,
        T.RandomHorizontalFlip(),
        T.ToTensor(),
        T.Normalize(UNIT_MEAN, UNIT_STD),
    ]
    return [
        T.Compose([T.RandomResizedCrop(size, scale, interpolation=resample), *rest])
        for size, scale in zip(sizes, SCALES, strict=True)
        for _ in range(2)
    ]


def torchvision_tensors(sizes, blur) -> list[Callable]:
    width = 2 * int(3 * SIGMA[1]) + 1
    soft = [v2.RandomApply([v2.GaussianBlur(width, SIGMA)], p=blur)] if blur else []
    rest = [
        v2.RandomApply([v2.ColorJitter(*JITTER)], p=JITTER_P),
        v2.RandomGrayscale(p=GRAY),
        *soft,
        v2.RandomHorizontalFlip(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(UNIT_MEAN, UNIT_STD),
    ]
    return [
        v2.Compose([v2.RandomResizedCrop(size, scale, antialias=True), *rest])
        for size, scale in zip(sizes, SCALES, strict=True)
        for _ in range(2)
    ]


def lightly(sizes, blur) -> Callable:
    from lightly.transforms import SwaVTransform

    return SwaVTransform(
        crop_sizes=tuple(sizes),
        crop_counts=(2, 2),
        crop_min_scales=tuple(scale[0] for scale in SCALES),
        crop_max_scales=tuple(scale[1] for scale in SCALES),
        cj_prob=JITTER_P,
        cj_bright=JITTER[0],
        cj_contrast=JITTER[1],
        cj_sat=JITTER[2],
        cj_hue=JITTER[3],
        random_gray_scale=GRAY,
        gaussian_blur=blur,
        sigmas=SIGMA,
        normalize=dict(mean=UNIT_MEAN, std=UNIT_STD),
    )


def albumentations(sizes, blur, interpolation: int) -> list[Callable]:
    import albumentations as A
    from albumentations.pytorch import ToTensorV2

    bright, contrast, saturation, hue = JITTER
    soft = [A.GaussianBlur(sigma_limit=SIGMA, p=blur)] if blur else []
    rest = [
        A.ColorJitter(
            brightness=(1 - bright, 1 + bright),
            contrast=(1 - contrast, 1 + contrast),
            saturation=(1 - saturation, 1 + saturation),
            hue=(-hue, hue),
            p=JITTER_P,
        ),
        A.ToGray(p=GRAY),
        *soft,
        A.HorizontalFlip(p=0.5),
        A.Normalize(UNIT_MEAN, UNIT_STD),
        ToTensorV2(),
    ]

    def view(size: int, scale: tuple[float, float]) -> Callable:
        cut = A.RandomResizedCrop((size, size), scale=scale, interpolation=interpolation)
        change = A.Compose([cut, *rest])
        return lambda image: change(image=image)['image']

    return [
        view(size, scale)
        for size, scale in zip(sizes, SCALES, strict=True)
        for _ in range(2)
    ]


def mmpretrain(sizes, blur, loads: list[dict]) -> Callable[[list], object]:
    """mmpretrain's own MoCo v2 pipeline (imagenet_bs32_mocov2.py) with our crops."""
    from mmpretrain.models import SelfSupDataPreprocessor
    from mmpretrain.registry import TRANSFORMS
    from mmpretrain.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    names = ('brightness', 'contrast', 'saturation', 'hue')
    jitter = dict(type='ColorJitter', **dict(zip(names, JITTER, strict=True)))
    soft = dict(type='GaussianBlur', magnitude_range=SIGMA, magnitude_std='inf', prob=blur)
    kinds = [
        [
            dict(
                type='RandomResizedCrop',
                scale=size,
                crop_ratio_range=scale,
                backend='pillow',
            ),
            dict(type='RandomApply', transforms=[jitter], prob=JITTER_P),
            dict(
                type='RandomGrayscale',
                prob=GRAY,
                keep_channels=True,
                channel_weights=(0.114, 0.587, 0.2989),
            ),
            *([soft] if blur else []),
            dict(type='RandomFlip', prob=0.5),
        ]
        for size, scale in zip(sizes, SCALES, strict=True)
    ]
    views = dict(type='MultiView', num_views=[2, 2], transforms=kinds)
    steps = [*loads, views, dict(type='PackInputs')]
    built = [TRANSFORMS.build(dict(step, _scope_='mmpretrain')) for step in steps]
    pipeline = Compose(built)
    finish = SelfSupDataPreprocessor(mean=MEAN, std=STD, to_rgb=True)

    def make(images: list) -> object:
        key = 'img' if isinstance(images, np.ndarray) else 'img_path'
        samples = [
            pipeline({key: image if key == 'img' else str(image)}) for image in images
        ]
        return finish(default_collate(samples), True)

    return make


def kornia(sizes, blur) -> Callable[[Tensor], object]:
    import kornia.augmentation as K
    from kornia.constants import Resample

    width = 2 * int(3 * SIGMA[1]) + 1
    soft = [K.RandomGaussianBlur((width, width), SIGMA, p=blur)] if blur else []
    views = [
        torch.nn.Sequential(
            K.RandomResizedCrop(
                (size, size), scale, resample=Resample.BILINEAR, cropping_mode='resample'
            ),
            K.ColorJitter(*JITTER, p=JITTER_P),
            K.RandomGrayscale(p=GRAY),
            *soft,
            K.RandomHorizontalFlip(),
            K.Normalize(torch.tensor(UNIT_MEAN), torch.tensor(UNIT_STD)),
        )
        for size, scale in zip(sizes, SCALES, strict=True)
        for _ in range(2)
    ]

    @torch.no_grad()
    def make(images: Tensor) -> object:
        x = images.float().div_(255)
        return [view(x) for view in views]

    return make


def there(name: str) -> bool:
    if importlib.util.find_spec(name) is None:
        print(f'{name} is not installed: left out')
        return False
    return True


def jpeg_sides(sizes: tuple[int, int]) -> Sides:
    yield 'mmlogo', ours_from_files(specs(sizes, BLUR))
    yield 'torchvision on PIL images', one_by_one(open_rgb, torchvision_pil(sizes, BLUR))
    yield (
        'torchvision v2 on tensors',
        one_by_one(
            lambda file: decode_image(str(file), ImageReadMode.RGB),
            torchvision_tensors(sizes, BLUR),
        ),
    )
    # solo-learn's build_transform_pipeline, which is torchvision on PIL images
    bicubic = torchvision_pil(sizes, BLUR, T.InterpolationMode.BICUBIC)
    yield "solo-learn's (bicubic)", one_by_one(open_rgb, bicubic)
    yield 'mmpretrain', mmpretrain(sizes, BLUR, [dict(type='LoadImageFromFile')])
    if there('lightly'):
        views = lightly(sizes, BLUR)
        yield 'lightly', lambda files: default_collate([views(open_rgb(f)) for f in files])
    if there('albumentations'):
        for name, how in (('area', cv2.INTER_AREA), ('no antialias', cv2.INTER_LINEAR)):
            peer = one_by_one(read_rgb, albumentations(sizes, BLUR, how))
            yield f'albumentations ({name})', peer


def small_sides(sizes: tuple[int, int] = (32, 32)) -> Sides:
    """Yield the sides that make small views. Those with a loop get arrays (N, H, W, 3)."""
    arrays: dict[int, np.ndarray] = {}

    def as_arrays(make: Callable) -> Callable[[Tensor], object]:
        def changed(images: Tensor) -> object:
            key = id(images)  # once: a data set would have its arrays at hand
            if key not in arrays:
                arrays[key] = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
            return make(arrays[key])

        return changed

    yield 'mmlogo', ours_from_memory(specs(sizes, 0.0))
    pil = one_by_one(Image.fromarray, torchvision_pil(sizes, 0.0))
    yield 'torchvision on PIL images', as_arrays(pil)
    yield 'mmpretrain', as_arrays(mmpretrain(sizes, 0.0, []))
    if there('lightly'):
        views = lightly(sizes, 0.0)
        yield (
            'lightly',
            as_arrays(
                lambda x: default_collate([views(Image.fromarray(one)) for one in x])
            ),
        )
    if there('albumentations'):
        same = albumentations(sizes, 0.0, cv2.INTER_AREA)
        yield 'albumentations (area)', as_arrays(one_by_one(lambda one: one, same))
    if there('kornia'):
        yield 'kornia, batched (no antialias)', kornia(sizes, 0.0)


def growth_sides(sizes: tuple[int, int]) -> Sides:
    for pairs in (1, 2, 3, 4):
        kinds = specs(sizes, BLUR, pairs)
        for kind in kinds.values():
            kind['count'] = pairs
        yield f'{2 * pairs} views', ours_from_files(kinds)


def photographs(folder: Path) -> list[Path]:
    """Write the photographs as JPEGs of 500 x 375 pixels, quality 90."""
    files = []
    for name in PHOTOGRAPHS:
        image = Image.fromarray(load_photograph(name))
        scale = max(500 / image.width, 375 / image.height)
        size = round(image.width * scale), round(image.height * scale)
        image = image.resize(size, Image.Resampling.LANCZOS).crop((0, 0, 500, 375))
        files.append(folder / f'{name}.jpg')
        image.save(files[-1], quality=90)
    return files


def take_turns(sides: Sides, images: Any, rounds: int) -> dict[str, list[float]]:
    """Return seconds of each round for each side. A round before them warms up."""
    made = dict(sides)
    spent: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(1 + rounds):
        for name, make in made.items():
            start = time.perf_counter()
            make(images)
            if turn:
                spent[name].append(time.perf_counter() - start)
    return spent


def summary(spent: dict[str, list[float]], images: int) -> dict[str, dict[str, float]]:
    """Return ms an image and, per round, the ratio to the first side."""
    first = next(iter(spent.values()))
    found = {}
    for name, seconds in spent.items():
        ratios = [a / b for a, b in zip(seconds, first, strict=True)]
        found[name] = dict(
            ms=1000 * statistics.median(seconds) / images,
            ratio=statistics.median(ratios),
            low=min(ratios),
            high=max(ratios),
        )
    return found


def run(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    torch.manual_seed(0)
    np.random.seed(0)
    tiles = PhotoTiles(split='train').images
    small = tiles[torch.arange(args.batch) * 7 % len(tiles)]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = photographs(Path(folder))
        files = [files[n % len(files)] for n in range(args.images)]
        for case, sides, images in (
            ('jpeg', jpeg_sides(args.sizes), files),
            ('small', small_sides(), small),
            ('growth', growth_sides(args.sizes), files),
        ):
            spent = take_turns(sides, images, args.rounds)
            found = summary(spent, len(images))
            results[case] = dict(images=len(images), summary=found, seconds=spent)
            print(f'\n{case}: ms an image, ratio to the first (lowest, highest round)')
            for name, row in found.items():
                print(
                    f'  {name:32} {row["ms"]:8.3f} {row["ratio"]:7.2f} '
                    f'({row["low"]:.2f}, {row["high"]:.2f})'
                )
    names = ('torchvision', 'mmpretrain', 'lightly', 'albumentations', 'kornia')
    versions = {
        name: version('onedl-mmpretrain' if name == 'mmpretrain' else name)
        for name in names
        if importlib.util.find_spec(name)
    }
    origin = dict(
        date=time.strftime('%Y-%m-%d'),
        hardware=hardware(),
        commit=commit(),
        threads=args.threads,
        rounds=args.rounds,
        torch=torch.__version__,
        opencv=cv2.__version__,
        **versions,
    )
    print(f'\n{origin}')
    if args.out:
        Path(args.out).write_text(json.dumps(dict(origin=origin, **results), indent=1))
