"""`Mosaic`: who is in a mosaic, where the seams are, and what its pixels are."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from mmengine.registry import init_default_scope
from torchvision.transforms.v2 import functional as transforms

from mmlogo.datasets import InMemoryImages
from mmlogo.datasets.mosaic import distinct
from mmlogo.registry import DATASETS

CLASSES, EACH, SIDE = 5, 6, 8


@DATASETS.register_module(force=True)
class Flat(InMemoryImages):
    """Image n has the value 3 n everywhere; its class is n % 5."""

    def __init__(self, classes: int = CLASSES, each: int = EACH, height: int = SIDE):
        n = torch.arange(classes * each)
        images = (3 * n).to(torch.uint8)[:, None, None, None].expand(-1, 3, height, SIDE)
        super().__init__(images.contiguous(), n % classes, [str(c) for c in range(classes)])


def mosaic(content: str = 'hetero', **options):
    init_default_scope('mmlogo')
    options = dict(dataset=dict(type='Flat'), jitter=2) | options
    return DATASETS.build(dict(type='Mosaic', content=content, **options))


def corners(images):
    return torch.stack(
        [images[:, 0, row, column] for row in (0, -1) for column in (0, -1)], dim=1
    )


@pytest.mark.parametrize('content', ['hetero', 'homo', 'copy'])
def test_who_is_in_a_mosaic(content):
    data = mosaic(content)
    members = (corners(data.images) / 3).long()
    assert torch.equal(members, data.members)
    for n, four in enumerate(members.tolist()):
        classes = {m % CLASSES for m in four}
        assert n in four
        assert len(set(four)) == (1 if content == 'copy' else 4)
        assert len(classes) == (4 if content == 'hetero' else 1)
    want = torch.full((30,), -1) if content == 'hetero' else torch.arange(30) % CLASSES
    assert torch.equal(data.labels, want)


def test_contents_share_anchors_and_seams():
    one, other = mosaic('hetero'), mosaic('homo')
    n = torch.arange(30)[:, None]
    assert torch.equal(one.members == n, other.members == n)
    assert (one.members == n).any(dim=0).all()  # each corner has its turn
    assert torch.equal(one.seams, other.seams)


def test_seams_are_where_the_pixels_change():
    data = mosaic('hetero')
    for image, members, (row, column) in zip(
        data.images[:, 0], data.members, data.seams.tolist(), strict=True
    ):
        want = torch.empty_like(image)
        for cell, member in zip(
            (
                want[:row, :column],
                want[:row, column:],
                want[row:, :column],
                want[row:, column:],
            ),
            members,
            strict=True,
        ):
            cell.fill_(3 * int(member))
        assert torch.equal(image, want)
    assert data.images.shape == (30, 3, 2 * SIDE, 2 * SIDE)
    assert data.seams.min() == SIDE - 2
    assert data.seams.max() == SIDE + 2


def test_a_cell_is_the_middle_of_the_enlarged_image(photo_images):
    @DATASETS.register_module(force=True)
    class Photos(InMemoryImages):
        def __init__(self):
            super().__init__(photo_images, torch.arange(32) // 8, 'abcd')

    data = mosaic('hetero', dataset=dict(type='Photos'), jitter=6)
    for n in (0, 9, 31):
        row, column = data.seams[n].tolist()
        large = transforms.resize(photo_images[data.members[n]], [38, 38]).float()
        for four, (top, height), (left, width) in (
            (0, (0, row), (0, column)),
            (1, (0, row), (column, 64 - column)),
            (2, (row, 64 - row), (0, column)),
            (3, (row, 64 - row), (column, 64 - column)),
        ):
            down, right = (38 - height) // 2, (38 - width) // 2
            want = large[four, :, down : down + height, right : right + width]
            got = data.images[n, :, top : top + height, left : left + width].float()
            assert (got - want).abs().max() <= 1  # both are rounded to bytes


def test_is_a_function_of_seed_and_sample():
    assert torch.equal(mosaic().images, mosaic().images)
    assert not torch.equal(mosaic().images, mosaic(seed=1).images)
    fewer = mosaic('copy', dataset=dict(type='Flat', each=4))
    assert torch.equal(fewer.images, mosaic('copy').images[:20])


def test_every_image_and_every_triple_has_its_turn():
    """3 of 5 numbers but the first: 4 * 3 * 2 triples, all as likely."""
    u = torch.rand(24_000, 4, dtype=torch.float64)
    first = torch.randint(5, (24_000,))
    others = distinct(first, 5, u)
    assert (others != first[:, None]).all()
    assert ((others >= 0) & (others < 5)).all()
    seen = Counter(map(tuple, others[first == 2].tolist()))
    assert len(seen) == 24
    assert min(seen.values()) > 120  # 200 are expected, with a deviation of 14
    assert max(seen.values()) < 280


@pytest.mark.parametrize(
    ('content', 'options', 'text'),
    [
        ('mixed', {}, "content='mixed', but it must be one of"),
        ('copy', dict(jitter=8), r'jitter=8, but it must be pixels in \[0, 8\)'),
        ('copy', dict(dataset=dict(type='Flat', height=6)), 'images are 6 x 8 pixels'),
        ('hetero', dict(dataset=dict(type='Flat', classes=3)), 'four classes .* has 3'),
        ('homo', dict(dataset=dict(type='Flat', each=3)), 'images of a class .* has 3'),
    ],
)
def test_bad_arguments(content, options, text):
    with pytest.raises(ValueError, match=text):
        mosaic(content, **options)


def test_images_without_a_label_have_no_class_to_choose_by():
    @DATASETS.register_module(force=True)
    class Unlabelled(Flat):
        def __init__(self):
            super().__init__()
            self.labels[3] = -1

    nobody = dict(type='Unlabelled')
    for content in ('hetero', 'homo'):
        with pytest.raises(
            ValueError, match=r'images without a label \(-1\); use a labelled'
        ):
            mosaic(content, dataset=nobody)
    assert len(mosaic('copy', dataset=nobody)) == 30


def test_of_the_photographs_that_need_no_download():
    tiles = dict(type='PhotoTiles', split='train', limit=8)
    data = mosaic('homo', dataset=tiles)
    assert data.images.shape[1:] == (3, 64, 64)
    assert len(data) == len(DATASETS.build(tiles))
    assert data[3]['gt_label'] == 0
