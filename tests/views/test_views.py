"""Views: drawn as torchvision draws them, made as torchvision makes them, and no
function of workers, batches, roads or autocast."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as TF
from mmengine.dataset import DefaultSampler
from mmpretrain.datasets import CustomDataset
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import RandomResizedCrop

from mmlogo.datasets import EpochSampler, InMemoryImages, collate_batch
from mmlogo.views import (
    LoadImage,
    MultiCrop,
    MultiCropPreprocessor,
    PackImage,
    SeededIndex,
    ViewSpec,
    apply,
    parse_views,
)
from mmlogo.views.apply import (
    change_all_colours,
    change_colours,
    crop,
    gaussian_blur,
    shift_hue,
    to_unit,
)
from mmlogo.views.draw import (
    Look,
    draw_all_boxes,
    draw_all_looks,
    draw_boxes,
    draw_look,
)
from mmlogo.views.seeds import uniform
from mmlogo.views.transforms import resized

MEAN, STD = (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)
JITTER = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8)
COLOURS = dict(**JITTER, gray=0.2, blur=0.5, blur_sigma=(0.1, 2.0), solarize=0.2)
CROPS = dict(
    globals=dict(count=2, size=32, scale=(0.2, 1.0)),
    locals=dict(role='local', count=2, size=16, scale=(0.05, 0.2)),
)
VIEWS = {kind: {**spec, **COLOURS} for kind, spec in CROPS.items()}


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request, monkeypatch) -> str:
    # TF32 convolutions round to 10 bits; this compares arithmetic, not rounding
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)
    return request.param


@pytest.fixture
def unit(photo_images: Tensor) -> Tensor:
    """The tiles as (32, 3, 32, 32) float32 in [0, 1]."""
    return photo_images.float() / 255


def preprocessor(views: dict, **kwargs) -> MultiCropPreprocessor:
    return MultiCropPreprocessor(views=views, **{'mean': MEAN, 'std': STD, **kwargs})


def raw(views: dict, **kwargs) -> MultiCropPreprocessor:
    """A preprocessor whose normalisation does nothing."""
    return preprocessor(views, mean=(0, 0, 0), std=(255, 255, 255), **kwargs)


def assert_close(got: Tensor, expected: list[Tensor] | Tensor, atol: float = 1e-5) -> None:
    if not isinstance(expected, Tensor):
        expected = torch.stack(expected)
    torch.testing.assert_close(got.cpu(), expected, atol=atol, rtol=0)


# --- each operation against torchvision's, on the same parameters --------------------


@pytest.mark.parametrize('size', [32, 28, 16, 7, 48])
@pytest.mark.parametrize('shape', [(32, 32), (24, 32), (32, 20)])
def test_crop_is_resized_crop_then_flip(photo_images, seeds, device, size, shape) -> None:
    height, width = shape
    images = photo_images[:, :, :height, :width].contiguous()
    spec = ViewSpec(size=size, scale=(0.05, 1.0))
    boxes = draw_boxes(seeds(len(images)), 0, spec, height, width)
    flip = draw_look(seeds(len(images)), 0, spec).flip
    assert 0 < flip.sum() < len(flip)
    got = crop(images.to(device), boxes.to(device), flip.to(device), size)
    expected = []
    for image, box, flipped in zip(images, boxes.tolist(), flip, strict=True):
        x = TF.resized_crop(image / 255, *box, [size, size], antialias=True)
        expected.append(TF.horizontal_flip(x) if flipped else x)
    assert_close(got, expected)


def test_to_unit_flips_where_drawn(photo_images) -> None:
    flip = torch.arange(len(photo_images)) % 3 == 0
    got = to_unit(photo_images, flip)
    for x, image, flipped in zip(got, photo_images, flip, strict=True):
        expected = TF.horizontal_flip(image) if flipped else image
        assert torch.equal(x, expected.float() / 255)


OPERATIONS = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)


@pytest.mark.parametrize('operation', range(4), ids=[f.__name__ for f in OPERATIONS])
def test_each_jitter_is_torchvisions(unit, seeds, device, operation) -> None:
    strengths = [0.0, 0.0, 0.0, 0.0]
    strengths[operation] = 0.5 if operation == 3 else 0.9
    spec = ViewSpec(size=32, scale=(1, 1), jitter=tuple(strengths), jitter_p=1.0)
    look = draw_look(seeds(len(unit)), 0, spec)
    factors = look.factors[:, operation].tolist()
    expected = [OPERATIONS[operation](x, f) for x, f in zip(unit, factors, strict=True)]
    assert_close(change_colours(unit.to(device), look, spec), expected)


def jittered(x: Tensor, look: Look, n: int) -> Tensor:
    if look.jitter[n]:
        for operation in look.order[n].tolist():
            x = OPERATIONS[operation](x, look.factors[n, operation].item())
    return x


def test_the_four_jitters_come_in_each_samples_own_order(unit, seeds, device) -> None:
    spec = ViewSpec(size=32, scale=(1, 1), jitter=(0.8, 0.8, 0.8, 0.2), jitter_p=0.8)
    images = unit.repeat(3, 1, 1, 1)
    look = draw_look(seeds(len(images)), 0, spec)
    assert len(look.order.unique(dim=0)) > 20
    assert 0 < look.jitter.sum() < len(images)
    expected = [jittered(x, look, n) for n, x in enumerate(images)]
    assert_close(change_colours(images.to(device), look, spec), expected, atol=2e-5)
    # and the order matters: the same factors, ordered backwards, give other images
    back = change_colours(images, look._replace(order=look.order.flip(1)), spec)
    assert (back - torch.stack(expected)).abs().max() > 0.05


def test_hue_is_right_on_gray_and_on_ties_of_channels(device) -> None:
    levels = torch.linspace(0, 1, 5)
    cube = torch.cartesian_prod(levels, levels, levels)  # (125, 3)
    x = cube.T.reshape(1, 3, 5, 25)
    for turns in (-0.5, -0.1, 0.25, 0.5):
        got = shift_hue(x.to(device), torch.tensor([turns], device=device))
        assert_close(got[0], TF.adjust_hue(x[0], turns))


def test_gray_is_torchvisions(unit, seeds, device) -> None:
    spec = ViewSpec(size=32, scale=(1, 1), gray=0.5)
    look = draw_look(seeds(len(unit)), 0, spec)
    assert 0 < look.gray.sum() < len(unit)
    expected = [
        TF.rgb_to_grayscale(x, num_output_channels=3) if gray else x
        for x, gray in zip(unit, look.gray, strict=True)
    ]
    assert_close(change_colours(unit.to(device), look, spec), expected)


def test_blur_is_torchvisions(unit, seeds, device) -> None:
    spec = ViewSpec(size=32, scale=(1, 1), blur=0.5, blur_sigma=(0.1, 2.0))
    assert spec.blur_reach == 6  # three standard deviations
    look = draw_look(seeds(len(unit)), 0, spec)
    assert 0 < look.blur.sum() < len(unit)
    expected = [
        TF.gaussian_blur(x, [13, 13], [sigma.item()] * 2) if blurred else x
        for x, blurred, sigma in zip(unit, look.blur, look.sigma, strict=True)
    ]
    assert_close(change_colours(unit.to(device), look, spec), expected)


def test_blur_of_a_view_smaller_than_its_kernel(unit, device) -> None:
    tiny, sigma = unit[:4, :, :4, :4].to(device), torch.tensor([0.3, 1.0, 1.5, 2.0])
    got = gaussian_blur(tiny, sigma.to(device), reach=6)
    expected = [
        TF.gaussian_blur(x, [7, 7], [s.item()] * 2)
        for x, s in zip(unit[:4, :, :4, :4], sigma, strict=True)
    ]
    assert_close(got, expected)


def test_solarize_is_torchvisions(unit, seeds, device) -> None:
    # two thresholds, of which 128 is a value that pixels have
    for threshold in (128.0, 100.5):
        spec = ViewSpec(size=32, scale=(1, 1), solarize=0.5, solarize_threshold=threshold)
        look = draw_look(seeds(len(unit)), 0, spec)
        assert 0 < look.solarize.sum() < len(unit)
        expected = [
            TF.solarize(x, threshold / 255) if solarized else x
            for x, solarized in zip(unit, look.solarize, strict=True)
        ]
        assert_close(change_colours(unit.to(device), look, spec), expected)


def test_a_batch_of_views_is_torchvisions_pipeline(photo_images, seeds, device) -> None:
    k = seeds(len(photo_images), epoch=2, seed=7)
    module = preprocessor(VIEWS).to(device)
    out = module(dict(inputs=photo_images, seeds=k), training=True)
    assert [tuple(x.shape[1:]) for x in out['inputs']] == [(3, 32, 32)] * 2 + [
        (3, 16, 16)
    ] * 2
    mean, std = [m / 255 for m in MEAN], [s / 255 for s in STD]
    for view, (spec, got) in enumerate(zip(parse_views(VIEWS), out['inputs'], strict=True)):
        boxes, look = draw_boxes(k, view, spec, 32, 32), draw_look(k, view, spec)
        expected = []
        for n, (image, box) in enumerate(zip(photo_images, boxes.tolist(), strict=True)):
            x = TF.resized_crop(image / 255, *box, [spec.size] * 2, antialias=True)
            x = TF.horizontal_flip(x) if look.flip[n] else x
            x = jittered(x, look, n)
            x = TF.rgb_to_grayscale(x, 3) if look.gray[n] else x
            x = (
                TF.gaussian_blur(x, [13, 13], [look.sigma[n].item()] * 2)
                if look.blur[n]
                else x
            )
            x = TF.solarize(x, 128 / 255) if look.solarize[n] else x
            expected.append(TF.normalize(x, mean, std))
        difference = (got.cpu() - torch.stack(expected)).abs()
        # solarisation jumps: a value within rounding of the threshold may fall on
        # either side of it
        assert (difference > 1e-4).float().mean() < 1e-4
    assert torch.equal(out['data_samples'].rows.cpu(), k)


# --- how parameters are drawn --------------------------------------------------------


def naive_box(attempts: list, spec: ViewSpec, height: int, width: int) -> list[int]:
    """torchvision's RandomResizedCrop.get_params, on four uniform numbers an attempt."""
    for u in attempts:
        area = height * width * (spec.scale[0] + (spec.scale[1] - spec.scale[0]) * u[0])
        low, high = (math.log(r) for r in spec.ratio)
        aspect = math.exp(low + (high - low) * u[1])
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [int(u[2] * (height - h + 1)), int(u[3] * (width - w + 1)), h, w]
    w, h = width, height
    if width / height < spec.ratio[0]:
        h = round(width / spec.ratio[0])
    elif width / height > spec.ratio[1]:
        w = round(height * spec.ratio[1])
    return [(height - h) // 2, (width - w) // 2, h, w]


@pytest.mark.parametrize(
    ('shape', 'scale'),
    [
        ((32, 32), (0.2, 1.0)),
        ((96, 64), (0.05, 0.14)),
        ((20, 50), (0.5, 1.0)),  # most attempts fail
        ((10, 100), (0.9, 1.0)),  # all fail: image too wide
        ((100, 10), (0.9, 1.0)),
        ((3, 3), (0.01, 0.2)),  # boxes round to nothing
    ],
)
def test_boxes_are_the_naive_loops(seeds, shape, scale) -> None:
    spec = ViewSpec(size=8, scale=scale)
    for view in (0, 3):
        k = seeds(300, epoch=1, seed=4)
        numbers = uniform(k, [view], range(10))[0].transpose(0, 1)
        expected = [naive_box(attempts, spec, *shape) for attempts in numbers.tolist()]
        assert draw_boxes(k, view, spec, *shape).tolist() == expected


@pytest.mark.parametrize(
    ('shape', 'ratio', 'box'),
    [
        ((10, 100), (3 / 4, 4 / 3), [0, 43, 10, 13]),
        ((100, 10), (3 / 4, 4 / 3), [43, 0, 13, 10]),
        ((32, 32), (4 / 3, 4 / 3), [4, 0, 24, 32]),
        ((32, 32), (3 / 4, 3 / 4), [0, 4, 32, 24]),
    ],
)
def test_where_no_attempt_fits_the_crop_is_central(seeds, shape, ratio, box) -> None:
    spec = ViewSpec(size=8, scale=(0.95, 1.0), ratio=ratio)
    assert draw_boxes(seeds(50), 0, spec, *shape).tolist() == [box] * 50


@pytest.mark.parametrize(
    ('shape', 'scale'), [((32, 32), (0.2, 1.0)), ((48, 64), (0.05, 0.4))]
)
def test_boxes_are_distributed_as_torchvisions(seeds, shape, scale) -> None:
    n = 6000
    image, ratio = torch.zeros(1, *shape), [3 / 4, 4 / 3]
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(image, list(scale), ratio) for _ in range(n)]
    )
    ours = draw_boxes(seeds(n), 0, ViewSpec(size=8, scale=scale), *shape)
    for one, other in zip(statistics(ours), statistics(theirs), strict=True):
        for moment in (one - other, (one - one.mean()) ** 2 - (other - other.mean()) ** 2):
            # the difference of two means of n in its own standard errors
            assert abs(moment.mean() / (moment.std() / math.sqrt(n))) < 4


def statistics(boxes: Tensor) -> Iterator[Tensor]:
    """Area, log aspect, and the two positions, of N boxes."""
    top, left, h, w = boxes.double().unbind(1)
    yield from (h * w, (w / h).log(), top, left)


def test_switches_have_their_frequencies_and_are_independent(seeds) -> None:
    n, p = 20_000, dict(flip=0.5, jitter_p=0.8, gray=0.2, blur=0.35, solarize=0.1)
    look = draw_look(seeds(n), 0, ViewSpec(size=8, scale=(1, 1), **p))
    switches = torch.stack(
        (look.flip, look.jitter, look.gray, look.blur, look.solarize), dim=1
    ).double()
    for drawn, expected in zip(switches.mean(dim=0).tolist(), p.values(), strict=True):
        error = math.sqrt(expected * (1 - expected) / n)
        assert abs(drawn - expected) < 4 * error
    numbers = torch.cat((switches, look.factors, look.sigma[:, None]), dim=1)
    correlation = torch.corrcoef(numbers.T[[0, 1, 2, 3, 4, 9]])
    assert (correlation - torch.eye(6)).abs().max() < 0.03


def test_a_probability_of_zero_or_one_is_certain(seeds) -> None:
    for p in (0.0, 1.0):
        names = dict(flip=p, jitter_p=p, gray=p, blur=p, solarize=p)
        look = draw_look(seeds(1000), 0, ViewSpec(size=8, scale=(1, 1), **names))
        for drawn in (look.flip, look.jitter, look.gray, look.blur, look.solarize):
            assert bool((drawn == bool(p)).all())


def test_factors_are_uniform_in_torchvisions_ranges(seeds) -> None:
    n = 20_000
    spec = ViewSpec(size=8, scale=(1, 1), jitter=(0.4, 1.5, 0.8, 0.1), jitter_p=1.0)
    factors = draw_look(seeds(n), 0, spec).factors
    ranges = [(0.6, 1.4), (0.0, 2.5), (0.2, 1.8), (-0.1, 0.1)]
    for column, (low, high) in zip(factors.unbind(1), ranges, strict=True):
        width = high - low
        assert low <= column.min() < low + 0.002 * width
        assert high - 0.002 * width < column.max() <= high
        assert abs(column.mean() - (low + high) / 2) < 4 * width / math.sqrt(12 * n)
    assert (torch.corrcoef(factors.T) - torch.eye(4)).abs().max() < 0.03


def test_every_order_of_the_jitters_is_equally_likely(seeds) -> None:
    n = 12_000
    order = draw_look(seeds(n), 0, ViewSpec(size=8, scale=(1, 1))).order
    orders, counts = order.unique(dim=0, return_counts=True)
    assert len(orders) == 24
    assert torch.equal(order.sort(dim=1).values, torch.arange(4).expand(n, 4))
    # 500 expected of each, standard deviation 22
    assert (counts - n / 24).abs().max() < 90


def test_blur_sigmas_are_uniform_in_their_range(seeds) -> None:
    spec = ViewSpec(size=8, scale=(1, 1), blur=1.0, blur_sigma=(0.3, 1.7))
    sigma = draw_look(seeds(20_000), 0, spec).sigma
    assert 0.3 <= sigma.min() < 0.303
    assert 1.697 < sigma.max() <= 1.7
    assert sigma.mean().item() == pytest.approx(1.0, abs=0.012)


def parameters(k: Tensor, view: int = 0) -> Tensor:
    spec = ViewSpec(size=8, scale=(0.2, 1.0), **COLOURS)
    look = draw_look(k, view, spec)
    boxes = draw_boxes(k, view, spec, 224, 224).double()
    return torch.cat((boxes, look.factors, look.sigma[:, None]), dim=1)


def test_parameters_differ_between_epochs_views_samples_and_seeds(seeds) -> None:
    n = 100
    base = parameters(seeds(n))
    assert len(base.unique(dim=0)) == n
    others = (
        parameters(seeds(n, epoch=1)),
        parameters(seeds(n, seed=1)),
        parameters(seeds(n), view=1),
    )
    for other in others:
        # box coordinates repeat now and then; real-valued parameters do not
        assert not (other[:, 4:] == base[:, 4:]).any()
        assert (other[:, :4] == base[:, :4]).all(dim=1).sum() <= 1
    assert not (others[0][:, 4:] == others[1][:, 4:]).any()


def test_every_choice_is_made_anew_for_each_view_epoch_and_seed(seeds) -> None:
    n = 2000
    halves = dict(flip=0.5, jitter_p=0.5, gray=0.5, blur=0.5, solarize=0.5)
    spec = ViewSpec(size=8, scale=(0.2, 1.0), jitter=(0.4,) * 4, **halves)
    base = draw_look(seeds(n), 0, spec)
    others = (
        draw_look(seeds(n, epoch=1), 0, spec),
        draw_look(seeds(n, seed=1), 0, spec),
        draw_look(seeds(n), 1, spec),
    )
    for other in others:
        for name, one, two in zip(Look._fields, base, other, strict=True):
            agreement = (one == two).view(n, -1).all(dim=1).double().mean()
            # coins agree half the time, orders one time in 24, numbers never
            assert agreement < (0.55 if one.dtype == torch.bool else 0.07), name


def test_parameters_do_not_depend_on_the_rest_of_the_batch(seeds) -> None:
    k, mixed = seeds(40), torch.randperm(40)
    whole = parameters(k)
    assert torch.equal(parameters(k[mixed]), whole[mixed])
    assert torch.equal(parameters(k[7:8]), whole[7:8])


# --- two roads, one view -------------------------------------------------------------


def cut_by_workers(images: Tensor, k: Tensor, views: dict) -> dict:
    """What a loader hands over when `MultiCrop` cuts the crops."""
    transform = MultiCrop(views)
    samples = []
    for image, (seed, epoch, index) in zip(images, k.tolist(), strict=True):
        results = dict(img=image.permute(1, 2, 0).numpy())
        samples.append(
            transform({**results, 'sample_idx': SeededIndex(index, epoch, seed)})
        )
    return default_collate(samples)


def test_both_roads_give_the_same_views(photo_images, seeds, device) -> None:
    k = seeds(len(photo_images), epoch=5, seed=3)
    # one view that is smaller than its crop: shrinking is where antialiasing shows
    shrunk = dict(role='local', size=10, scale=(0.3, 1.0))
    views = {**CROPS, 'shrunk': shrunk}
    module = raw(views).to(device)
    here = module(dict(inputs=photo_images, seeds=k), training=True)
    cut = cut_by_workers(photo_images, k, views)
    assert all(x.dtype == torch.uint8 for x in cut['inputs'])
    there = module(cut, training=True)
    assert torch.equal(here['data_samples'].rows, there['data_samples'].rows)
    for x, y in zip(here['inputs'], there['inputs'], strict=True):
        assert x.shape == y.shape
        difference = (x - y).abs()
        # a worker's crop is rounded to whole levels, here it is not
        assert difference.max() <= 1.01 / 255
        assert difference.mean() <= 0.3 / 255


def test_both_roads_give_the_same_colours(photo_images, seeds) -> None:
    k = seeds(len(photo_images))
    views = {kind: {**s, **COLOURS, 'solarize': 0.0} for kind, s in CROPS.items()}
    module = raw(views)
    here = module(dict(inputs=photo_images, seeds=k), training=True)['inputs']
    there = module(cut_by_workers(photo_images, k, views), training=True)['inputs']
    for x, y in zip(here, there, strict=True):
        assert (x - y).abs().mean() < 0.5 / 255
        # of a view with another key it is far away
        assert (x - y.roll(1, 0)).abs().mean() > 20 / 255


def test_views_that_are_alike_change_in_one_pass(photo_images, seeds, monkeypatch) -> None:
    """As on a GPU. Views of another size or other colours have a pass of their own."""
    size = dict(size=16, scale=(0.2, 1.0))
    colours = dict(jitter=(0.4, 0.4, 0.4, 0.1), jitter_p=0.8, gray=0.2, blur=0.5)
    specs = parse_views(
        dict(
            first=dict(**size, **colours),
            plain=dict(**size),
            # another crop, another role, the same colours
            same=dict(size=16, scale=(0.05, 0.4), flip=0.0, **colours, count=2),
            sun=dict(**size, **colours, solarize=0.2),
            small=dict(size=12, scale=(0.05, 0.4), **colours, role='local'),
        )
    )
    k = seeds(len(photo_images))
    looks = draw_all_looks(k, specs)
    boxes = draw_all_boxes(k, specs, 32, 32)
    views = [
        crop(photo_images, box, look.flip, spec.size)
        for box, look, spec in zip(boxes, looks, specs, strict=True)
    ]
    alone = [change_colours(*view) for view in zip(views, looks, specs, strict=True)]
    passes = []

    def change(x, look, spec):
        passes.append(len(x))
        return change_colours(x, look, spec)

    monkeypatch.setattr(apply, 'change_colours', change)
    together = change_all_colours(views, looks, specs)
    n = len(photo_images)
    assert sorted(passes) == [n, n, n, 3 * n]
    for x, y in zip(alone, together, strict=True):
        assert torch.equal(x, y)


@pytest.mark.parametrize('road', ['device', 'workers'])
def test_autocast_does_not_reach_the_views(photo_images, seeds, device, road) -> None:
    k = seeds(len(photo_images))
    data = dict(inputs=photo_images, seeds=k)
    if road == 'workers':
        data = cut_by_workers(photo_images, k, VIEWS)
    module = preprocessor(VIEWS).to(device)
    plain = module(data, training=True)['inputs']
    with torch.autocast(device, dtype=torch.bfloat16):
        cast = module(data, training=True)['inputs']
        evaluated = module(dict(inputs=photo_images))['inputs']
    assert evaluated.dtype == torch.float32
    for x, y in zip(plain, cast, strict=True):
        assert y.dtype == torch.float32
        assert torch.equal(x, y)


# --- workers -------------------------------------------------------------------------


def epochs(dataset: Dataset, workers: int, persistent: bool, **kwargs) -> list[list[str]]:
    """Hash of the views of each batch of two epochs."""
    sampler = EpochSampler(dataset, shuffle=True, seed=1)
    loader = DataLoader(
        dataset,
        batch_size=6,
        sampler=sampler,
        num_workers=workers,
        persistent_workers=persistent,
        **kwargs,
    )
    module = preprocessor(VIEWS)
    hashes = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        hashes.append([fingerprint(module(data, training=True)) for data in loader])
    return hashes


def fingerprint(batch: dict) -> str:
    parts = [x.numpy().tobytes() for x in (*batch['inputs'], *batch['data_samples'])]
    return hashlib.sha256(b''.join(parts)).hexdigest()


WORKERS = [(0, False), (1, False), (1, True), (2, False), (2, True)]


def assert_same_for_all_workers(run: Callable[[int, bool], list[list[str]]]) -> None:
    results = [run(*setting) for setting in WORKERS]
    first, second = results[0]
    assert len(first) == len(second) == 4
    assert len({*first, *second}) == 8
    for setting, result in zip(WORKERS, results, strict=True):
        assert result == results[0], setting


def test_in_memory_views_do_not_depend_on_workers(photo_images) -> None:
    dataset = InMemoryImages(photo_images[:24], torch.zeros(24).long(), ['one'])
    assert_same_for_all_workers(
        lambda *setting: epochs(dataset, *setting, collate_fn=collate_batch)
    )


def files(root: Path, *transforms) -> CustomDataset:
    return CustomDataset(
        data_root=str(root), data_prefix='train', pipeline=list(transforms)
    )


@pytest.mark.slow
def test_file_views_do_not_depend_on_workers(tiny_tree) -> None:
    dataset = files(tiny_tree, LoadImage(), MultiCrop(VIEWS))
    assert_same_for_all_workers(lambda *setting: epochs(dataset, *setting))


def test_a_seed_changes_every_batch(photo_images, seeds) -> None:
    module = preprocessor(VIEWS)
    hashes = {
        fingerprint(module(dict(inputs=photo_images, seeds=seeds(32, e, s)), training=True))
        for e in range(2)
        for s in range(2)
    }
    assert len(hashes) == 4


# --- transforms ----------------------------------------------------------------------


def test_load_image_is_rgb(tiny_tree, photo_images) -> None:
    path = str(tiny_tree / 'train' / 'astronaut' / '0.png')
    image = LoadImage()(dict(img_path=path))['img']
    assert np.array_equal(image, photo_images[0].permute(1, 2, 0).numpy())
    assert image.flags['C_CONTIGUOUS']


def test_load_image_does_not_turn_gray_images(tmp_path) -> None:
    ramp = np.arange(20, dtype=np.uint8).reshape(4, 5)
    Image.fromarray(ramp).save(tmp_path / 'gray.png')
    load = LoadImage(color_type='grayscale')
    assert np.array_equal(load(dict(img_path=str(tmp_path / 'gray.png')))['img'], ramp)


@pytest.mark.parametrize('size', [224, 96, 32, 7, 1])
def test_a_workers_crop_is_resized_crop(size) -> None:
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (75, 100, 3), dtype=np.uint8)
    for _ in range(20):
        height, width = draw.integers(1, 76), draw.integers(1, 101)
        box = [
            int(number)
            for number in (
                draw.integers(0, 76 - height),
                draw.integers(0, 101 - width),
                height,
                width,
            )
        ]
        expected = TF.resized_crop(
            torch.from_numpy(image).permute(2, 0, 1), *box, [size, size], antialias=True
        )
        got = resized(image, box, size)
        assert got.is_contiguous()
        assert torch.equal(got, expected)
        floats = resized(image.astype(np.float32), box, size)  # LoadImage(to_float32=True)
        assert floats.dtype == torch.float32
        assert (floats - expected).abs().max() < 2  # bytes are rounded twice


def test_load_image_makes_gray_files_rgb(tmp_path) -> None:
    Image.new('L', (5, 4), 77).save(tmp_path / 'gray.png')
    image = LoadImage()(dict(img_path=str(tmp_path / 'gray.png')))['img']
    assert image.shape == (4, 5, 3)
    assert (image == 77).all()


@pytest.mark.parametrize('content', [None, b'', b'no image at all'])
def test_load_image_names_the_file_and_the_sample(tmp_path, content) -> None:
    path = tmp_path / 'broken.jpg'
    if content is not None:
        path.write_bytes(content)
    results = dict(img_path=str(path), sample_idx=SeededIndex(17, 0, 0))
    with pytest.raises(
        OSError, match=r'(?s)broken\.jpg.*sample 17.*replace or remove the file'
    ):
        LoadImage()(results)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_a_truncated_image_is_refused(tmp_path, photo_images, kind) -> None:
    path = tmp_path / f'half.{kind}'
    tile = photo_images[0].permute(1, 2, 0).numpy()
    Image.fromarray(tile).save(path, kind)
    assert LoadImage()(dict(img_path=str(path)))['img'].shape == (32, 32, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(OSError, match=rf'(?s)half\.{kind}.*sample 3'):
        LoadImage()(dict(img_path=str(path), sample_idx=SeededIndex(3, 0, 0)))


def test_multi_crop_without_views_says_where_to_get_them() -> None:
    results = dict(img=np.zeros((8, 8, 3), np.uint8), sample_idx=SeededIndex(0, 0, 0))
    with pytest.raises(ValueError, match=r'MultiCrop has no views.*ShareViewsHook'):
        MultiCrop()(results)


def test_a_sampler_without_epochs_is_refused_in_the_pipeline(tiny_tree) -> None:
    dataset = files(tiny_tree, LoadImage(), MultiCrop(VIEWS))
    loader = DataLoader(dataset, batch_size=4, sampler=DefaultSampler(dataset))
    with pytest.raises(
        ValueError, match=r"carries no epoch.*sampler=dict\(type='EpochSampler'"
    ):
        next(iter(loader))


def test_a_sampler_without_epochs_is_refused_on_the_device(photo_images) -> None:
    dataset = InMemoryImages(photo_images, torch.zeros(32).long(), ['one'])
    sampler = DefaultSampler(dataset)
    loader = DataLoader(dataset, batch_size=4, sampler=sampler, collate_fn=collate_batch)
    batch = next(iter(loader))
    with pytest.raises(ValueError, match=r"no seeds.*sampler=dict\(type='EpochSampler'"):
        preprocessor(VIEWS)(batch, training=True)


def test_pack_image(photo_images) -> None:
    image = photo_images[3].permute(1, 2, 0).numpy()
    packed = PackImage()(dict(img=image, sample_idx=SeededIndex(5, 1, 1), gt_label=2))
    assert torch.equal(packed['inputs'], photo_images[3])
    assert (packed['sample_idx'], packed['gt_label']) == (5, 2)
    assert type(packed['sample_idx']) is int
    assert PackImage()(dict(img=image, sample_idx=5))['gt_label'] == -1


# --- preprocessor --------------------------------------------------------------------


def test_evaluation_only_normalises(photo_images, seeds, device) -> None:
    module = preprocessor(VIEWS).to(device)
    expected = TF.normalize(
        photo_images.float() / 255, [m / 255 for m in MEAN], [s / 255 for s in STD]
    )
    for extra in ({}, dict(seeds=seeds(32))):
        out = module(dict(inputs=photo_images, **extra), training=False)
        assert_close(out['inputs'], expected)
        assert out['data_samples'] is None


def test_preprocessing_leaves_the_batch_as_it_was(photo_images, seeds) -> None:
    before = photo_images.clone()
    module = preprocessor(VIEWS)
    module(dict(inputs=photo_images, seeds=seeds(32)), training=True)
    module(dict(inputs=photo_images), training=False)
    assert torch.equal(photo_images, before)


def test_channels_last_is_a_layout_and_no_other_view(photo_images, seeds) -> None:
    data = dict(inputs=photo_images, seeds=seeds(32))
    plain = preprocessor(VIEWS)(data, training=True)['inputs']
    last = preprocessor(VIEWS, channels_last=True)(data, training=True)['inputs']
    for x, y in zip(plain, last, strict=True):
        assert x.is_contiguous()
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(x, y)


def test_preprocessor_counts_its_views_and_keeps_no_state() -> None:
    module = preprocessor(VIEWS)
    assert (module.num_globals, module.num_locals) == (2, 2)
    assert not module.state_dict()


def test_views_cut_for_another_model_are_refused(photo_images, seeds) -> None:
    cut = cut_by_workers(photo_images, seeds(32), dict(globals=CROPS['globals']))
    with pytest.raises(ValueError, match='pipeline cut 2 views and the model expects 4'):
        preprocessor(VIEWS)(cut, training=True)


# --- specs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(role='big'), r"role='big', but it must be one of \('global', 'local'\)"),
        (dict(count=-1), 'count=-1, but it must be an integer >= 0'),
        (dict(count=1.5), 'count=1.5, but it must be an integer'),
        (dict(size=0), 'size=0, but it must be pixels >= 1'),
        (dict(scale=(0.0, 1.0)), r'scale=\(0.0, 1.0\).* 0 < low <= high'),
        (dict(scale=(0.5, 0.2)), r'scale=\(0.5, 0.2\).*low <= high'),
        (dict(scale=(0.5, 1.2)), 'scale=.*a share of the image, at most 1'),
        (dict(ratio=(2.0, 1.0)), 'ratio=.*low <= high'),
        (dict(blur_sigma=(0.0, 1.0)), 'blur_sigma=.*0 < low'),
        (dict(flip=1.1), r'flip=1.1, but it must be a probability in \[0, 1\]'),
        (dict(jitter_p=-0.1), 'jitter_p=-0.1.*probability'),
        (dict(gray=2), 'gray=2.*probability'),
        (dict(blur=-1), 'blur=-1.*probability'),
        (dict(solarize=7), 'solarize=7.*probability'),
        (dict(jitter=(0.4, 0.4, 0.4)), 'jitter=.*brightness, contrast, saturation, hue'),
        (dict(jitter=(0.4, 0.4, 0.4, 0.6)), 'jitter=.*hue <= 0.5'),
        (dict(scale=0.5), r'scale=0.5, but it must be a range'),
        (dict(ratio=(1.0,)), r'ratio=\(1.0,\), but it must be a range'),
        (dict(jitter=0.4), 'jitter=0.4.*brightness'),
        (dict(jitter=(-0.4, 0.4, 0.4, 0.1)), 'jitter=.*all >= 0'),
    ],
)
def test_a_spec_refuses_a_value_outside_its_range(change, message) -> None:
    good = dict(size=32, scale=(0.2, 1.0))
    assert ViewSpec(**good).count == 1
    with pytest.raises(ValueError, match=message):
        ViewSpec(**{**good, **change})


def test_views_come_in_the_order_named_and_counted() -> None:
    views = dict(
        sharp=dict(size=32, scale=(0.2, 1.0)),
        soft=dict(size=32, scale=[0.2, 1.0], blur=1.0),
        none=dict(count=0, size=8, scale=(0.1, 0.2)),
        small=ViewSpec(role='local', count=3, size=16, scale=(0.05, 0.2)),
    )
    specs = parse_views(views)
    assert [(s.role, s.size, s.blur) for s in specs] == [
        ('global', 32, 0.0),
        ('global', 32, 1.0),
        *[('local', 16, 0.0)] * 3,
    ]
    assert specs[1].scale == (0.2, 1.0)  # a list of a JSON or YAML config too


@pytest.mark.parametrize(
    ('views', 'message'),
    [
        (dict(a=dict(size=8, scael=(0.2, 1))), "views.a has no key 'scael'; .* 'scale'"),
        (dict(a=dict(size=8, zzz=1)), "views.a has no key 'zzz'$"),
        (dict(a=dict(size=8)), 'views.a: .*scale'),
        (dict(a=dict(size=8, scale=(0, 1))), 'views.a: view spec: scale='),
        (dict(a=dict(size=8, scale=0.5)), 'views.a: view spec: scale=0.5.*range'),
        ({}, 'no views'),
        (dict(a=dict(count=0, size=8, scale=(0.2, 1))), 'no views: every count is 0'),
        (
            dict(
                b=dict(role='local', size=8, scale=(0.2, 1)), a=dict(size=8, scale=(0.2, 1))
            ),
            r"globals before their locals, got \['local', 'global'\]",
        ),
    ],
)
def test_views_that_cannot_be_are_refused(views, message) -> None:
    with pytest.raises(ValueError, match=message):
        parse_views(views)


def test_all_views_at_once_are_each_view(seeds):
    """Drawing every view in one pass changes no number."""
    specs = [
        ViewSpec(
            size=8, scale=(0.05, 0.9), jitter=(0.4,) * 3 + (0.1,), jitter_p=0.5, blur=0.5
        ),
        ViewSpec(role='local', size=4, scale=(0.9, 1.0), gray=0.3, solarize=0.4),
    ]
    k = seeds(50, epoch=3, seed=5)
    boxes, looks = draw_all_boxes(k, specs, 20, 41), draw_all_looks(k, specs)
    for view, spec in enumerate(specs):
        assert torch.equal(boxes[view], draw_boxes(k, view, spec, 20, 41))
        for one, other in zip(looks[view], draw_look(k, view, spec), strict=True):
            assert torch.equal(one, other)
