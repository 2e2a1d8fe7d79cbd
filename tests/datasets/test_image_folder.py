"""Folders of images, of which some are bad: errors, substitutes, limits."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from helpers import BAD, VIEWS, bomb
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import DataLoader

from mmlogo.datasets import (
    EpochSampler,
    ImageFolder,
    ImageNet,
    ImageNet100,
    collate_batch,
    image_folder,
)
from mmlogo.datasets.in_memory import read_tree
from mmlogo.registry import DATASETS
from mmlogo.views import BadImage, LoadImage, MultiCrop, PackImage, SeededIndex
from mmlogo.views.header import MAX_PIXELS, check_header

GOOD = 20


def save(path: Path, number: int, size: int = 24) -> None:
    """Save a picture that is `number` everywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (size, size), (number,) * 3).save(path)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Twenty pictures in two folders. The value of a picture is its position."""
    for number in range(GOOD):
        save(tmp_path / 'images' / 'ab'[number // 10] / f'{number:02d}.png', number)
    return tmp_path / 'images'


def spoil(folder: Path, what: str, number: int = 3) -> Path:
    """Put a bad file in the place of a picture."""
    name, content, _ = BAD[what]
    path = folder / 'ab'[number // 10] / f'{number:02d}.png'
    path.unlink()
    path = path.with_suffix(Path(name).suffix)
    path.write_bytes(content)
    return path


def dataset(folder: Path, *transforms, **kwargs) -> ImageFolder:
    pipeline = list(transforms or (LoadImage(), PackImage()))
    return ImageFolder(
        data_root=str(folder), **{'with_label': False, **kwargs}, pipeline=pipeline
    )


def drawn(data: ImageFolder, index: int, epoch: int = 0, seed: int = 0) -> int:
    """The position of the image that is served for an index."""
    return int(data[SeededIndex(index, epoch, seed)]['inputs'][0, 0, 0])


def report(sample: dict) -> dict:
    return json.loads(sample['bad_samples'])


# --- what is bad -----------------------------------------------------------------------


@pytest.mark.parametrize('what', BAD)
def test_a_bad_image_is_an_error_that_says_all(folder, what) -> None:
    path = spoil(folder, what)
    data = dataset(folder)
    with pytest.raises(BadImage, match=BAD[what][2]) as error:
        data[SeededIndex(3, 0, 0)]
    text = str(error.value)
    assert f"'{path}' (sample 3)" in text
    assert 'every file with the ending of an image must be one: replace or remove' in text
    assert f'tools/check_data.py {folder}' in text
    assert "bad_samples='skip' in the config" in text
    assert [drawn(data, n) for n in (2, 4)] == [2, 4]


@pytest.mark.parametrize('what', BAD)
def test_a_bad_image_is_skipped_and_reported(folder, what) -> None:
    path = spoil(folder, what)
    data = dataset(folder, bad_samples='skip')
    sample = data[SeededIndex(3, 0, 0)]
    assert int(sample['inputs'][0, 0, 0]) not in (3, 255)
    assert sample['sample_idx'] == 3  # it keeps its own place
    told = report(sample)
    (file,) = told['files']
    assert (file['name'], file['index']) == (f'a/{path.name}', 3)
    assert re.search(rf'(?s)\(sample 3\): .*{BAD[what][2]}', file['error'])
    assert (told['limit'], told['size'], told['max_bad']) == (1, GOOD, 0.01)
    assert data[SeededIndex(4, 0, 0)]['bad_samples'] == ''


@pytest.mark.skipif(os.getuid() == 0, reason='root reads every file')
@pytest.mark.parametrize('mode', ['raise', 'skip'])
def test_a_file_without_permission(folder, mode) -> None:
    (folder / 'a' / '03.png').chmod(0)
    data = dataset(folder, bad_samples=mode)
    if mode == 'skip':
        assert drawn(data, 3) != 3
        return
    with pytest.raises(BadImage, match=r'03\.png.*PermissionError'):
        drawn(data, 3)


def test_a_file_that_was_removed_since_the_start(folder) -> None:
    strict, lenient = dataset(folder), dataset(folder, bad_samples='skip')
    (folder / 'a' / '03.png').unlink()
    with pytest.raises(BadImage, match=r'03\.png.*FileNotFoundError'):
        drawn(strict, 3)
    assert drawn(lenient, 3) != 3


def test_a_folder_with_the_name_of_an_image_is_a_folder(folder) -> None:
    save(folder / 'x.png' / '20.png', 20)
    data = dataset(folder, bad_samples='skip')
    assert len(data) == GOOD + 1
    assert drawn(data, GOOD) == 20


@pytest.mark.parametrize('mode', ['raise', 'skip'])
def test_a_folder_with_the_name_of_an_image_among_imagenet100s(tmp_path, mode) -> None:
    for number in range(3):
        save(tmp_path / 'train' / 'n1' / f'{number}.png', number)
    (tmp_path / 'train' / 'n1' / 'x.png').mkdir()
    pipeline = [LoadImage(), PackImage()]
    data = ImageNet100(
        data_root=str(tmp_path), wnids=('n1',), pipeline=pipeline, bad_samples=mode
    )
    assert len(data) == 4
    if mode == 'skip':
        assert drawn(data, 3) in range(3)
    else:
        with pytest.raises(BadImage, match=r'x\.png.*IsADirectoryError'):
            drawn(data, 3)


@pytest.mark.parametrize('mode', ['raise', 'skip'])
def test_unusual_images_are_good(tmp_path, photo_images, mode) -> None:
    tile = Image.fromarray(photo_images[0].permute(1, 2, 0).numpy()).resize((64, 64))
    tile.convert('CMYK').save(tmp_path / '0.jpg', quality=95)
    tile.convert('L').save(tmp_path / '1.png')
    Image.new('RGB', (1, 1), (9, 9, 9)).save(tmp_path / '2.png')
    data = dataset(tmp_path, bad_samples=mode)
    cmyk, gray, one = (data[n]['inputs'] for n in range(3))
    expected = torch.from_numpy(np.array(tile)).permute(2, 0, 1)
    assert (cmyk.float() - expected.float()).abs().mean() < 4
    assert torch.equal(gray[0], gray[2])
    assert one.flatten().tolist() == [9, 9, 9]
    data.pipeline.transforms = [LoadImage(), MultiCrop(VIEWS)]
    views = data[SeededIndex(2, 0, 0)]['inputs']
    assert all((view == 9).all() for view in views)


# --- bombs -----------------------------------------------------------------------------


def test_a_bomb_is_refused_before_a_pixel_is_decoded(folder, monkeypatch) -> None:
    spoil(folder, 'bomb')
    for module, name in ((cv2, 'imdecode'), (mmcv, 'imfrombytes'), (Image.Image, 'load')):
        monkeypatch.setattr(module, name, None)  # would be a TypeError
    with pytest.raises(BadImage, match='so it was not decoded'):
        dataset(folder)[SeededIndex(3, 0, 0)]


def test_the_limit_is_pils_own(recwarn) -> None:
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    side = int(MAX_PIXELS**0.5)
    assert check_header(bomb(side)) == (side, side)
    with pytest.raises(BadImage, match=f'{side + 1} x {side + 1}'):
        check_header(bomb(side + 1))
    # a higher limit is higher than PIL's, which is as it was afterwards
    assert check_header(bomb(side + 1), 10**9) == (side + 1, side + 1)
    assert check_header(bomb(), None) == (30000, 30000)
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    assert not [w for w in recwarn if 'bomb' in str(w.message).lower()]


def test_a_limit_of_ones_own(folder) -> None:
    path = str(folder / 'a' / '00.png')
    assert LoadImage(max_pixels=24 * 24)(dict(img_path=path))['img'].shape == (24, 24, 3)
    with pytest.raises(BadImage, match=r'24 x 24 pixels, more than max_pixels=575, so'):
        LoadImage(max_pixels=575)(dict(img_path=path))
    with pytest.raises(ValueError, match='max_pixels=0, but it must be >= 1 or None'):
        LoadImage(max_pixels=0)


def test_a_file_is_read_once(folder, monkeypatch) -> None:
    reads = []
    true = mmcv.transforms.loading.fileio.get
    monkeypatch.setattr(
        'mmengine.fileio.get', lambda *a, **k: reads.append(a) or true(*a, **k)
    )
    dataset(folder)[0]
    assert len(reads) == 1


def test_a_bomb_among_images_in_memory(tmp_path, monkeypatch) -> None:
    save(tmp_path / 'cat' / '0.png', 0)
    (tmp_path / 'cat' / '1.png').write_bytes(bomb())
    with pytest.raises(
        OSError, match=r'1\.png \(sample 1\): its header says 30000 x 30000'
    ):
        read_tree(tmp_path)


# --- substitutes -----------------------------------------------------------------------


def substitutes(folder: Path, workers: int, persistent: bool = False) -> list[list[int]]:
    """What is served in two epochs."""
    data = dataset(folder, bad_samples='skip', max_bad=0.5)
    sampler = EpochSampler(data, seed=5)
    loader = DataLoader(
        data,
        batch_size=4,
        sampler=sampler,
        collate_fn=collate_batch,
        num_workers=workers,
        persistent_workers=persistent,
    )
    served = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batches = list(loader)
        assert all(len(batch['bad_samples']) == 4 for batch in batches)
        order = torch.cat([batch['sample_idx'] for batch in batches])
        images = torch.cat([batch['inputs'][:, 0, 0, 0] for batch in batches])
        assert sorted(order.tolist()) == list(range(GOOD))
        served.append(images[order.argsort()].tolist())
    return served


def test_substitutes_do_not_depend_on_workers_and_change_with_the_epoch(folder) -> None:
    bad = (3, 7, 11, 16)
    for number in bad:
        spoil(folder, 'text', number)
    np.random.seed(1)
    torch.manual_seed(1)
    first = substitutes(folder, 0)
    good = [n for n in range(GOOD) if n not in bad]
    for epoch in first:
        assert [epoch[n] for n in good] == good
        assert set(epoch) == set(good)
    assert [first[0][n] for n in bad] != [first[1][n] for n in bad]
    for setting in ((0, False), (1, False), (2, False), (2, True)):
        assert substitutes(folder, *setting) == first, setting


def test_substitutes_depend_on_seed_epoch_and_index_and_are_spread(folder) -> None:
    for number in (3, 4):
        spoil(folder, 'empty', number)
    data = dataset(folder, bad_samples='skip')
    one = [drawn(data, 3, epoch) for epoch in range(400)]
    assert one == [drawn(data, 3, epoch) for epoch in range(400)]
    assert one != [drawn(data, 4, epoch) for epoch in range(400)]
    assert one != [drawn(data, 3, epoch, seed=1) for epoch in range(400)]
    counts = np.bincount(one, minlength=GOOD)
    assert counts[[3, 4]].sum() == 0
    # 22 expected of each of 18, standard deviation 4.6
    assert np.delete(counts, [3, 4]).min() > 4
    assert counts.max() < 45
    assert drawn(data, 3) == int(data[3]['inputs'][0, 0, 0])  # an index without seeds


def test_a_substitute_has_the_seeds_of_the_sample(folder, photo_images) -> None:
    """So its views are others than its own."""
    for number in range(GOOD):
        tile = photo_images[number].permute(1, 2, 0).numpy()
        Image.fromarray(tile).save(folder / 'ab'[number // 10] / f'{number:02d}.png')
    whole = dataset(folder, LoadImage(), MultiCrop(VIEWS))
    spoil(folder, 'text')
    data = dataset(folder, LoadImage(), MultiCrop(VIEWS), bad_samples='skip')
    sample = data[SeededIndex(3, 2, 5)]
    assert sample['seeds'].tolist() == [5, 2, 3]
    places = dataset(folder, LoadImage(), PackImage(), bad_samples='skip')
    image = places[SeededIndex(3, 2, 5)]['inputs']
    (place,) = (n for n in range(GOOD) if torch.equal(photo_images[n], image))
    own = whole[SeededIndex(place, 2, 5)]['inputs']
    results = dict(img=image.permute(1, 2, 0).numpy(), sample_idx=SeededIndex(3, 2, 5))
    expected = MultiCrop(VIEWS)(results)['inputs']
    for view, want, other in zip(sample['inputs'], expected, own, strict=True):
        assert torch.equal(view, want)
        assert not torch.equal(view, other)


def test_a_substitute_brings_its_label(folder) -> None:
    spoil(folder, 'half')
    data = dataset(folder, bad_samples='skip', with_label=True)
    assert data.metainfo['classes'] == ('a', 'b')
    labels = set()
    for epoch in range(20):
        sample = data[SeededIndex(3, epoch, 0)]
        assert sample['gt_label'] == int(sample['inputs'][0, 0, 0]) // 10
        labels.add(sample['gt_label'])
    assert labels == {0, 1}


def test_substitutes_of_a_listed_subset_are_in_it(folder, tmp_path) -> None:
    spoil(folder, 'text')
    names = ['a/03.png', 'a/05.png', 'b/12.png']
    (folder / 'a' / '03.jpg').rename(folder / 'a' / '03.png')
    (tmp_path / 'list.txt').write_text('\n'.join(names))
    init_default_scope('mmlogo')
    data = DATASETS.build(
        dict(
            type='listed_subset',
            listing=str(tmp_path / 'list.txt'),
            dataset=dict(
                type='ImageFolder',
                data_root=str(folder),
                bad_samples='skip',
                pipeline=[dict(type='LoadImage'), dict(type='PackImage')],
            ),
        )
    )
    assert len(data) == 3
    assert {drawn(data, 0, epoch) for epoch in range(30)} == {5, 12}
    assert report(data[SeededIndex(0, 0, 0)])['size'] == 3


def test_nothing_from_a_pipeline_is_no_reason_to_draw_at_random(folder) -> None:
    def only_even(results: dict) -> dict | None:
        return None if results['img'][0, 0, 0] % 2 else results

    kept = (LoadImage(), only_even, PackImage())
    with pytest.raises(BadImage, match=r"nothing for 'a/03\.png' \(sample 3\)"):
        dataset(folder, *kept)[3]
    data = dataset(folder, *kept, bad_samples='skip')
    assert [drawn(data, 3) % 2, drawn(data, 4)] == [0, 4]


def test_if_all_is_bad_there_is_an_end(folder) -> None:
    data = dataset(folder, bad_samples='skip')
    for path in folder.rglob('*.png'):
        path.unlink()
    message = r'03\.png.*FileNotFoundError.*the 100 images that were drawn in its place'
    with pytest.raises(BadImage, match=message):
        drawn(data, 3)


def test_other_errors_of_a_pipeline_are_not_skipped(folder) -> None:
    data = dataset(folder, LoadImage(), MultiCrop(), bad_samples='skip')
    with pytest.raises(ValueError, match='MultiCrop has no views'):
        data[SeededIndex(3, 0, 0)]


# --- arguments -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(bad_samples='ignore'), "bad_samples='ignore', but it must be 'raise' or"),
        (dict(max_bad=1.0), r'max_bad=1.0, but it must be a share in \[0, 1\)'),
        (dict(max_bad=-0.1), 'max_bad=-0.1'),
    ],
)
def test_arguments_out_of_range(folder, kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(folder, **kwargs)


def test_skip_needs_our_transform(folder) -> None:
    with pytest.raises(ValueError, match=r"skip' knows .* begin the pipeline with dict"):
        dataset(folder, mmcv.transforms.LoadImageFromFile(), bad_samples='skip')


@pytest.mark.parametrize(('max_bad', 'limit'), [(0, 0), (0.01, 1), (0.1, 2), (0.11, 3)])
def test_the_limit_is_rounded_up(folder, max_bad, limit) -> None:
    spoil(folder, 'text')
    data = dataset(folder, bad_samples='skip', max_bad=max_bad)
    assert report(data[3])['limit'] == limit


def test_imagenet_is_ours(tmp_path) -> None:
    for number in range(4):
        save(tmp_path / 'train' / 'n1' / f'{number}.png', number)
    spoiled = tmp_path / 'train' / 'n1' / '2.png'
    spoiled.write_bytes(b'')
    init_default_scope('mmlogo')
    (tmp_path / 'meta').mkdir()
    names = ''.join(f'n1/{n}.png {n}\n' for n in range(4))
    (tmp_path / 'meta' / 'train.txt').write_text(names)
    pipeline = [dict(type='LoadImage'), dict(type='PackImage')]
    data = DATASETS.build(
        dict(
            type='ImageNet',
            data_root=str(tmp_path),
            split='train',
            pipeline=pipeline,
            bad_samples='skip',
        )
    )
    assert isinstance(data, ImageNet)
    assert len(data.metainfo['classes']) == 1000
    sample = data[SeededIndex(2, 0, 0)]
    assert sample['gt_label'] == int(sample['inputs'][0, 0, 0]) != 2
    assert image_folder.TRIES % 4 == 0
