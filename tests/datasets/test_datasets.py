"""Data sets and the sampler: what is served, to whom, in which order."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from mmlogo.datasets import (
    EpochSampler,
    ImageNet100,
    InMemoryCIFAR10,
    InMemoryCIFAR100,
    InMemoryImages,
    InMemorySTL10,
    PhotoTiles,
    collate_batch,
    photo_tiles,
    sampler,
)
from mmlogo.datasets.imagenet100 import CMC_CLASSES
from mmlogo.datasets.photo_tiles import PHOTOGRAPHS, load_photograph
from mmlogo.views import LoadImage, PackImage, SeededIndex

# --- EpochSampler --------------------------------------------------------------------


@pytest.fixture
def share(monkeypatch):
    """`share(n, rank, world, epoch=0, **kwargs)`: what one rank is dealt."""

    def deal(n: int, rank: int = 0, world: int = 1, epoch: int = 0, **kwargs) -> list:
        monkeypatch.setattr(sampler, 'get_dist_info', lambda: (rank, world))
        dealer = EpochSampler(range(n), **{'seed': 0, **kwargs})
        dealer.set_epoch(epoch)
        dealt = list(dealer)
        assert len(dealt) == len(dealer)
        return dealt

    return deal


@pytest.mark.parametrize('world', [1, 2, 3, 4])
def test_ranks_share_a_shuffled_epoch_without_overlap(share, world) -> None:
    n = 50
    shares = [share(n, rank, world) for rank in range(world)]
    assert {len(dealt) for dealt in shares} == {n // world}  # equally many steps
    served = [int(i) for dealt in shares for i in dealt]
    assert len(set(served)) == len(served) == n - n % world
    assert set(served) <= set(range(n))
    # what is dropped changes with the epoch, so that nothing is left out for ever
    if n % world:
        later = [int(i) for rank in range(world) for i in share(n, rank, world, epoch=1)]
        assert set(later) != set(served)


def test_unshuffled_every_sample_is_served_once_in_order(share) -> None:
    assert [int(i) for i in share(10, shuffle=False)] == list(range(10))
    shares = [[int(i) for i in share(10, r, 4, shuffle=False)] for r in range(4)]
    assert shares == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]


@pytest.mark.parametrize('world', [2, 4])
def test_global_batches_do_not_depend_on_the_number_of_ranks(share, world) -> None:
    n, batch = 48, 8
    alone = torch.tensor(share(n)).view(-1, batch)
    ranks = torch.tensor([share(n, rank, world) for rank in range(world)])
    together = ranks.view(world, -1, batch // world).permute(1, 2, 0)  # (steps, B/W, W)
    assert torch.equal(together.reshape(-1, batch), alone)


def test_orders_differ_between_epochs_and_seeds(share) -> None:
    orders = {
        tuple(map(int, share(100, epoch=epoch, seed=seed)))
        for epoch in range(3)
        for seed in range(3)
    }
    assert len(orders) == 9
    assert all(sorted(order) == list(range(100)) for order in orders)


def test_orders_are_uniform(share) -> None:
    first = torch.tensor([share(4, epoch=epoch)[0] for epoch in range(800)])
    # 200 expected of each, standard deviation 12
    assert (first.bincount(minlength=4) - 200).abs().max() < 50


def test_an_epoch_is_the_same_after_a_resume() -> None:
    ran, resumed = EpochSampler(range(30), seed=3), EpochSampler(range(30), seed=3)
    for epoch in range(3):
        ran.set_epoch(epoch)
        list(ran)
    torch.rand(100)  # nor does it depend on torch's state
    resumed.set_epoch(2)
    assert list(ran) == list(resumed)


def test_indices_carry_epoch_and_seed(share) -> None:
    for key in share(5, epoch=7, seed=2):
        assert (key.epoch, key.seed) == (7, 2)


def test_without_a_seed_the_ranks_agree_on_one(monkeypatch) -> None:
    monkeypatch.setattr(sampler, 'sync_random_seed', lambda: 42)
    assert EpochSampler(range(3)).seed == 42
    assert EpochSampler(range(3), seed=0).seed == 0


# --- images in memory ----------------------------------------------------------------


@pytest.fixture
def in_memory(photo_images) -> InMemoryImages:
    return InMemoryImages(photo_images, torch.arange(32) // 8, ['a', 'b', 'c', 'd'])


def test_a_batch_is_fetched_whole(in_memory, photo_images) -> None:
    indices = [SeededIndex(i, epoch=2, seed=5) for i in (9, 0, 31)]
    batch = in_memory.__getitems__(indices)
    assert torch.equal(batch['inputs'], photo_images[[9, 0, 31]])
    assert batch['sample_idx'].tolist() == [9, 0, 31]
    assert batch['gt_label'].tolist() == [1, 0, 3]
    assert batch['seeds'].tolist() == [[5, 2, 9], [5, 2, 0], [5, 2, 31]]
    assert 'seeds' not in in_memory.__getitems__([9, 0, 31])


def test_one_sample_is_a_batch_without_its_first_dimension(in_memory) -> None:
    batch = in_memory.__getitems__([9])
    assert {name: value.tolist() for name, value in in_memory[9].items()} == {
        name: value[0].tolist() for name, value in batch.items()
    }


def test_changing_a_batch_does_not_change_the_data_set(in_memory, photo_images) -> None:
    before = photo_images.clone()
    in_memory.__getitems__([0, 1])['inputs'].zero_()
    assert torch.equal(in_memory.images, before)


def test_collate_batch_passes_a_batch_and_stacks_samples(in_memory) -> None:
    batch = in_memory.__getitems__([3, 4])
    assert collate_batch(batch) is batch
    stacked = collate_batch([in_memory[3], in_memory[4]])
    assert stacked.keys() == batch.keys()
    assert all(torch.equal(stacked[name], batch[name]) for name in batch)


def test_a_loader_makes_one_indexing_operation_a_batch(in_memory, monkeypatch) -> None:
    monkeypatch.setattr(InMemoryImages, '__getitem__', None)  # would be a TypeError
    loader = DataLoader(
        in_memory,
        batch_size=8,
        sampler=EpochSampler(in_memory, shuffle=False, seed=0),
        collate_fn=collate_batch,
    )
    labels = [batch['gt_label'].tolist() for batch in loader]
    assert labels == [[0] * 8, [1] * 8, [2] * 8, [3] * 8]


# --- CIFAR-10 as a tree --------------------------------------------------------------


def test_a_tree_is_read_in_the_order_of_names(tiny_tree, photo_images) -> None:
    train = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    # alphabetical, not the order in which the photographs were written
    assert train.metainfo['classes'] == ('astronaut', 'camera', 'cat', 'coffee')
    assert train.labels.tolist() == [label for label in range(4) for _ in range(6)]
    photos = photo_images.view(4, 8, 3, 32, 32)[[0, 3, 1, 2]]
    assert torch.equal(train.images, photos[:, :6].reshape(-1, 3, 32, 32))
    test = InMemoryCIFAR10(data_root=str(tiny_tree), split='test')
    assert torch.equal(test.images, photos[:, 6:].reshape(-1, 3, 32, 32))


def test_per_class_keeps_the_first_of_each_class(tiny_tree) -> None:
    whole = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    some = InMemoryCIFAR10(data_root=str(tiny_tree), split='train', per_class=2)
    kept = [0, 1, 6, 7, 12, 13, 18, 19]
    assert torch.equal(some.images, whole.images[kept])
    assert torch.equal(some.labels, whole.labels[kept])


def test_training_and_bank_share_their_memory(tiny_tree) -> None:
    one = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    other = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    assert one.images.data_ptr() == other.images.data_ptr()


@pytest.fixture
def own_tree(tiny_tree, tmp_path) -> Path:
    """A copy to damage."""
    return shutil.copytree(tiny_tree, tmp_path / 'tree')


@pytest.mark.parametrize('damage', ['empty', 'half', 'text'])
def test_an_unreadable_image_is_named_with_its_index(own_tree, damage) -> None:
    path = own_tree / 'train' / 'camera' / '2.png'
    whole = path.read_bytes()
    content = dict(empty=b'', half=whole[: len(whole) // 2], text=b'not an image')
    path.write_bytes(content[damage])
    message = r'(?s)cannot read image .*camera/2\.png \(sample 8\).*replace or remove'
    with pytest.raises(OSError, match=message):
        InMemoryCIFAR10(data_root=str(own_tree), split='train')


def test_an_image_of_another_size_is_named(own_tree) -> None:
    Image.new('RGB', (40, 30)).save(own_tree / 'train' / 'cat' / '0.png')
    with pytest.raises(OSError, match=r'cat/0\.png \(sample 12\) is \(30, 40\) pixels.*32'):
        InMemoryCIFAR10(data_root=str(own_tree), split='train')


def test_gray_files_become_rgb_and_other_files_are_left_out(own_tree) -> None:
    (own_tree / 'train' / 'cat' / 'notes.txt').write_text('not an image')
    Image.new('L', (32, 32), 9).save(own_tree / 'train' / 'cat' / '0.png')
    train = InMemoryCIFAR10(data_root=str(own_tree), split='train')
    assert len(train) == 24
    assert (train.images[12] == 9).all()


def test_a_tree_without_images_is_refused(tmp_path) -> None:
    (tmp_path / 'train' / 'cat').mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r'no images in .*train/<class>/\*'):
        InMemoryCIFAR10(data_root=str(tmp_path), split='train')


def test_missing_data_says_what_was_looked_for(tmp_path) -> None:
    message = (
        r'CIFAR10 was found neither as a tree \(.*/nowhere/train/<class>/\*\.jpg\) nor as '
        r'the official archive.*pass --data-root DIR'
    )
    with pytest.raises(FileNotFoundError, match=message):
        InMemoryCIFAR10(data_root=str(tmp_path / 'nowhere'), split='train', download=False)


def test_a_failed_download_is_said(tmp_path, monkeypatch) -> None:
    def no_network(self) -> None:
        raise OSError('no route to host')

    monkeypatch.setattr(torchvision.datasets.CIFAR10, 'download', no_network)
    with pytest.raises(FileNotFoundError, match=r'downloading it failed.*no route to host'):
        InMemoryCIFAR10(data_root=str(tmp_path), split='test')


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(split='val'), r"InMemoryCIFAR10: split='val', but .* \('train', 'test'\)"),
        (dict(split='train', per_class=0), 'per_class=0, but it must be >= 1 or None'),
    ],
)
def test_arguments_out_of_range_are_refused(tiny_tree, kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        InMemoryCIFAR10(data_root=str(tiny_tree), **kwargs)


@pytest.mark.data
def test_the_real_tree(cifar_root) -> None:
    train = InMemoryCIFAR10(data_root=str(cifar_root), split='train', per_class=100)
    assert train.images.shape == (1000, 3, 32, 32)
    assert train.labels.bincount().tolist() == [100] * 10
    assert train.metainfo['classes'][0] == 'airplane'
    # the published channel means, within five standard errors of 1,000 images
    means = train.images.float().mean(dim=(0, 2, 3))
    assert (means - torch.tensor([125.3, 123.0, 113.9])).abs().max() < 6


# --- the official archives -----------------------------------------------------------

CLASSES = [f'class {i}' for i in range(10)]


@pytest.fixture
def archive(tmp_path, monkeypatch) -> Path:
    """CIFAR-10 in torchvision's layout: 4 images a file; MD5 sums of what is written."""
    source = torchvision.datasets.CIFAR10
    folder = tmp_path / source.base_folder
    folder.mkdir()

    def write(name: str, content: dict) -> list[str]:
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(name: str, number: int) -> list[str]:
        data = np.arange(4 * 3072).reshape(4, 3072) * (number + 1) % 251
        labels = [(4 * number + i) % 10 for i in range(4)]
        return write(name, dict(data=data.astype(np.uint8), labels=labels))

    names = [f'data_batch_{i}' for i in range(1, 6)]
    monkeypatch.setattr(source, 'train_list', [batch(n, i) for i, n in enumerate(names)])
    monkeypatch.setattr(source, 'test_list', [batch('test_batch', 5)])
    name, md5 = write('batches.meta', dict(label_names=CLASSES))
    monkeypatch.setattr(source, 'meta', dict(filename=name, key='label_names', md5=md5))
    return tmp_path


def test_the_official_archive_is_read(archive) -> None:
    train = InMemoryCIFAR10(data_root=str(archive), split='train')
    assert train.images.shape == (20, 3, 32, 32)
    assert train.images.is_contiguous()
    assert train.labels.tolist() == [i % 10 for i in range(20)]
    assert train.metainfo['classes'] == tuple(CLASSES)
    # rows of the archive are channel by channel, then row by row
    expected = (np.arange(4 * 3072) * 3 % 251).astype(np.uint8).reshape(4, 3, 32, 32)
    assert torch.equal(train.images[8:12], torch.from_numpy(expected))
    test = InMemoryCIFAR10(data_root=str(archive), split='test')
    assert test.labels.tolist() == [0, 1, 2, 3]


def test_per_class_of_the_official_archive(archive) -> None:
    whole = InMemoryCIFAR10(data_root=str(archive), split='train')
    train = InMemoryCIFAR10(data_root=str(archive), split='train', per_class=1)
    assert train.labels.tolist() == list(range(10))
    assert torch.equal(train.images, whole.images[:10])


def test_a_flipped_byte_in_the_archive_is_found(archive) -> None:
    path = archive / torchvision.datasets.CIFAR10.base_folder / 'data_batch_3'
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(FileNotFoundError, match='Dataset not found or corrupted'):
        InMemoryCIFAR10(data_root=str(archive), split='train', download=False)


def test_the_other_official_sets_are_read_alike(monkeypatch, tmp_path) -> None:
    class Official:
        def __init__(self, root: str, download: bool, split: str = '', train: bool = True):
            size = 96 if split else 32
            self.data = np.full((2, size, size, 3), 7, np.uint8)
            if split:
                self.data = self.data.transpose(0, 3, 1, 2)
            self.labels = self.targets = [1, -1 if split else 0]
            self.classes = ['x', 'y']

    monkeypatch.setattr(torchvision.datasets, 'STL10', Official)
    monkeypatch.setattr(torchvision.datasets, 'CIFAR100', Official)
    root = str(tmp_path)
    stl = InMemorySTL10(data_root=root, split='train+unlabeled')
    assert (stl.images.shape, stl.labels.tolist()) == ((2, 3, 96, 96), [1, -1])
    assert stl.labels.dtype == torch.int64
    cifar = InMemoryCIFAR100(data_root=root, split='test')
    assert (cifar.images.shape, cifar.labels.tolist()) == ((2, 3, 32, 32), [1, 0])


# --- PhotoTiles ----------------------------------------------------------------------


@pytest.fixture(scope='module')
def tiles() -> dict[str, PhotoTiles]:
    return {split: PhotoTiles(split=split) for split in ('train', 'test')}


def test_no_pixel_is_in_both_sets(tiles) -> None:
    for label, name in enumerate(PHOTOGRAPHS):
        masks = {split: painted(tiles[split], label, name) for split in tiles}
        assert masks['train'].any(), name
        assert masks['test'].any(), name
        assert not (masks['train'] & masks['test']).any(), name


def painted(tiles: PhotoTiles, label: int, name: str) -> np.ndarray:
    """(H, W) bool: the pixels of a photograph that are in some tile."""
    mask = np.zeros(load_photograph(name).shape[:2], dtype=bool)
    for corner, owner in zip(tiles.corners, tiles.labels.tolist(), strict=True):
        if owner == label:
            top, left = corner
            region = mask[top : top + 64, left : left + 64]
            assert region.shape == (64, 64)  # inside the photograph
            region[:] = True
    return mask


def test_no_photograph_outweighs_the_rest(tiles) -> None:
    for split in tiles.values():
        counts = split.labels.bincount(minlength=len(PHOTOGRAPHS))
        assert 1 <= counts.min() <= counts.max() <= 300
        assert split.images.shape == (counts.sum(), 3, 32, 32)
        assert split.metainfo['classes'] == tuple(PHOTOGRAPHS)
    assert len(tiles['test']) < len(tiles['train'])


def test_a_tile_is_its_corner_averaged(tiles) -> None:
    photo = load_photograph('coffee').astype(np.float64)
    for split in tiles.values():
        n = split.labels.tolist().index(list(PHOTOGRAPHS).index('coffee')) + 3
        top, left = split.corners[n]
        blocks = photo[top : top + 64, left : left + 64].reshape(32, 2, 32, 2, 3)
        expected = blocks.mean(axis=(1, 3)).transpose(2, 0, 1)
        assert np.abs(split.images[n].numpy() - expected).max() <= 0.5


def test_tiles_of_chosen_photographs_at_full_size() -> None:
    one = PhotoTiles(split='test', tile=32, size=32, limit=5, names=('clock', 'cat'))
    assert one.metainfo['classes'] == ('clock', 'cat')
    assert one.labels.bincount().tolist() == [5, 5]
    top, left = one.corners[7]
    expected = load_photograph('cat')[top : top + 32, left : left + 32]
    assert np.array_equal(one.images[7].permute(1, 2, 0).numpy(), expected)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(split='val'), "split='val', but it must be 'train' or 'test'"),
        (dict(split='train', size=30), 'size=30 must divide tile=64'),
        (dict(split='train', names=('dog',)), r"unknown photographs \['dog'\]; there are"),
        (
            dict(split='test', names=('cat',), cell=256),
            "'cat', 300 x 451 pixels, has no test tile with tile=64 and cell=256; lower",
        ),
        (
            dict(split='train', names=('cat',), tile=128, cell=64),
            'no train tile with tile=128 and cell=64',
        ),
    ],
)
def test_tiles_that_cannot_be_are_refused(kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        PhotoTiles(**kwargs)


def test_a_missing_package_of_photographs_is_named(monkeypatch) -> None:
    def not_installed(package: str) -> None:
        raise ModuleNotFoundError(f'No module named {package!r}')

    monkeypatch.setattr(photo_tiles, 'files', not_installed)
    with pytest.raises(FileNotFoundError, match='pip install scikit-image scikit-learn'):
        load_photograph('china')


# --- ImageNet-100 --------------------------------------------------------------------


def test_the_list_has_a_hundred_classes() -> None:
    assert len(CMC_CLASSES) == len(set(CMC_CLASSES)) == 100
    assert all(re.fullmatch(r'n\d{8}', wnid) for wnid in CMC_CLASSES)
    # imagenet100.txt of HobbitLong/CMC, byte for byte
    text = ''.join(f'{wnid}\n' for wnid in CMC_CLASSES)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest.startswith('79f3f1552ccc478c')


WNIDS = ('n02869837', 'n01749939')


@pytest.fixture
def imagenet(tmp_path, photo_images) -> Path:
    for split in ('train', 'val'):
        for wnid in (*WNIDS, 'n99999999'):
            (tmp_path / split / wnid).mkdir(parents=True)
            for n in range(3):
                image = Image.fromarray(photo_images[n].permute(1, 2, 0).numpy())
                image.save(tmp_path / split / wnid / f'{wnid}_{n}.JPEG')
    (tmp_path / 'train' / WNIDS[0] / 'notes.txt').write_text('no image')
    return tmp_path


def test_only_the_listed_classes_are_read_in_sorted_order(imagenet) -> None:
    pipeline = [LoadImage(), PackImage()]
    train = ImageNet100(data_root=str(imagenet), wnids=WNIDS, pipeline=pipeline)
    assert len(train) == 6
    names = [Path(train.get_data_info(n)['img_path']).name for n in range(6)]
    assert names == [f'{wnid}_{n}.JPEG' for wnid in sorted(WNIDS) for n in range(3)]
    assert [train[n]['gt_label'] for n in range(6)] == [0, 0, 0, 1, 1, 1]
    assert train[4]['inputs'].shape == (3, 32, 32)
    assert train.metainfo['classes'] == tuple(sorted(WNIDS))
    val = ImageNet100(data_root=str(imagenet), split='val', wnids=WNIDS)
    assert '/val/' in val.get_data_info(0)['img_path']


def test_missing_class_folders_are_named(imagenet) -> None:
    shutil.rmtree(imagenet / 'train' / WNIDS[1])
    message = r'1 of 2 class folders are missing in .*/train, the first is n01749939; pass'
    with pytest.raises(FileNotFoundError, match=message):
        ImageNet100(data_root=str(imagenet), wnids=WNIDS)
    with pytest.raises(FileNotFoundError, match='98 of 100 class folders are missing'):
        ImageNet100(data_root=str(imagenet), split='val')


# --- what is served is what was drawn ------------------------------------------------


def images_of(loader: DataLoader) -> Tensor:
    return torch.cat([batch['inputs'] for batch in loader])


@pytest.mark.parametrize('workers', [0, 1])
def test_an_epoch_serves_every_image_once(tiny_tree, workers) -> None:
    train = InMemoryCIFAR10(data_root=str(tiny_tree), split='train')
    order = EpochSampler(train, seed=0)
    loader = DataLoader(
        train, batch_size=5, sampler=order, collate_fn=collate_batch, num_workers=workers
    )
    served = images_of(loader)
    assert torch.equal(served, train.images[[int(i) for i in order]])
    assert not torch.equal(served, train.images)
