"""The views of a CPU are those of `apply.change_colours`, whatever is in the batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from mmlogo.views import ViewSpec, on_cpu
from mmlogo.views.apply import Crops, Rows, as_rows, change_colours, to_unit
from mmlogo.views.draw import Look, draw_look
from mmlogo.views.on_cpu import Normalisation, make_view

JITTER = dict(jitter=(0.9, 0.9, 0.9, 0.5), jitter_p=0.8)
COLOURS = dict(**JITTER, gray=0.3, blur=0.5)
NOTHING = Normalisation(torch.zeros(3), torch.ones(3), channels_last=False)


def resize(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images.float(), (size, size), mode='area').to(torch.uint8)


def source(images: Tensor, flip: Tensor, road: str) -> Rows | Crops:
    if road == 'crops':
        return Crops(images, flip)
    size = images.shape[-1]
    whole = torch.tensor([0, 0, size, size]).expand(len(images), 4)
    return Rows(as_rows(images), whole, flip, size)


def one(look: Look, index: list[int]) -> Look:
    return Look(*(column[index] for column in look))


@pytest.mark.parametrize('road', ['crops', 'rows'])
@pytest.mark.parametrize('size', [1, 7, 32, 48, 224])
def test_the_views_are_those_of_change_colours(photo_images, seeds, size, road) -> None:
    images = resize(photo_images.repeat(1 if size > 100 else 10, 1, 1, 1), size)
    spec = ViewSpec(size=size, scale=(1, 1), **COLOURS)
    look = draw_look(seeds(len(images)), 0, spec)
    expected = change_colours(to_unit(images, look.flip), look, spec)
    got = make_view(source(images, look.flip, road), look, spec, NOTHING)
    assert got.is_contiguous()
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize('operation', range(4))
@pytest.mark.parametrize('width', [25, 32])  # OpenCV has other code for whole vectors
def test_each_jitter_on_colours_of_a_cube(operation, width) -> None:
    """On gray, black, white and ties of channels, too. torchvision is the reference."""
    adjust = (
        TF.adjust_brightness,
        TF.adjust_contrast,
        TF.adjust_saturation,
        TF.adjust_hue,
    )[operation]
    levels = torch.linspace(0, 1, 8)
    colours = torch.cartesian_prod(levels, levels, levels).T  # (3, 512)
    colours = colours.repeat(1, 2)[:, : width * width]
    image = colours.reshape(3, width, -1)
    amounts = (-0.5, -0.1, 0.0, 0.25, 0.5) if operation == 3 else (0.0, 0.4, 1.0, 1.7)
    for amount in amounts:
        x = image.permute(1, 2, 0)[None, :, : image.shape[2]].contiguous()
        if x.shape[1] != x.shape[2]:
            pad = torch.zeros(1, width, width - x.shape[2], 3)
            x = torch.cat((x, pad), dim=2)
        expected = adjust(x[0].permute(2, 0, 1), amount)
        factor = torch.tensor([amount]).numpy()
        got = on_cpu.OPERATIONS[operation](x.clone().numpy(), factor)
        got = torch.from_numpy(got)[0].permute(2, 0, 1)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_solarisation(photo_images, seeds) -> None:
    for threshold in (128.0, 100.5):
        spec = ViewSpec(
            size=32, scale=(1, 1), gray=0.3, solarize=0.5, solarize_threshold=threshold
        )
        look = draw_look(seeds(len(photo_images)), 0, spec)
        assert 0 < look.solarize.sum() < len(photo_images)
        expected = change_colours(to_unit(photo_images, look.flip), look, spec)
        got = make_view(Crops(photo_images, look.flip), look, spec, NOTHING)
        difference = (got - expected).abs()
        # a gray value within rounding of the threshold may fall on either side of it
        assert (difference > 1e-5).float().mean() < 1e-3


@pytest.mark.parametrize('last', [False, True])
def test_the_layout_and_the_normalisation(photo_images, seeds, last) -> None:
    spec = ViewSpec(size=32, scale=(1, 1), **COLOURS)
    look = draw_look(seeds(len(photo_images)), 0, spec)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    how = Crops(photo_images, look.flip)
    got = make_view(how, look, spec, Normalisation(mean, std, last))
    layout = torch.channels_last if last else torch.contiguous_format
    assert got.is_contiguous(memory_format=layout)
    expected = change_colours(to_unit(photo_images, look.flip), look, spec)
    expected = TF.normalize(expected, mean.tolist(), std.tolist())
    torch.testing.assert_close(got, expected, atol=5e-5, rtol=0)


@pytest.mark.parametrize('road', ['crops', 'rows'])
def test_a_view_does_not_depend_on_its_batch(
    photo_images, seeds, road, monkeypatch
) -> None:
    """Not by a bit: not on the other samples, their order, or the size of a piece."""
    images = photo_images.repeat(4, 1, 1, 1)
    spec = ViewSpec(size=32, scale=(1, 1), solarize=0.2, **COLOURS)
    look = draw_look(seeds(len(images)), 0, spec)

    def made(index: list[int]) -> Tensor:
        some = one(look, index)
        return make_view(source(images[index], some.flip, road), some, spec, NOTHING)

    everything = made([*range(len(images))])
    mixed = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    assert torch.equal(made(mixed.tolist()), everything[mixed])
    for n in range(0, len(images), 9):
        assert torch.equal(made([n])[0], everything[n])
    for size in (1, 5 * 12 * 32 * 32, 2**30):
        monkeypatch.setattr(on_cpu, 'PIECE', size)
        assert torch.equal(made([*range(len(images))]), everything)


def test_no_sample_is_no_error(seeds) -> None:
    spec = ViewSpec(size=8, scale=(1, 1), **COLOURS)
    none = torch.zeros(0, 3, 8, 8, dtype=torch.uint8)
    look = draw_look(seeds(1)[:0], 0, spec)
    assert make_view(Crops(none, look.flip), look, spec, NOTHING).shape == none.shape
