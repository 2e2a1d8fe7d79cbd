"""Probes of patches, crops and segments, against loops and against real polygons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers import scalars, tool, write_config
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

from mmlogo.datasets import CocoMasks, PhotoTiles
from mmlogo.evaluation import (
    Features,
    PatchKNNMetric,
    RetrievalMetric,
    SegmentationMetric,
    dense,
    extract,
)
from mmlogo.evaluation.dense import Cells, CropPair, of_cells, of_maps
from mmlogo.evaluation.features import EMPTY


class Pixels(nn.Module):
    """A backbone whose map is the image, averaged over cells of 4 x 4 pixels."""

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        return dict(inputs=data['inputs'].float() / 255)

    def forward(self, inputs: Tensor, mode: str) -> tuple:
        return (F.avg_pool2d(inputs, 4),)


def batch_of(images: Tensor, **more: Tensor) -> dict:
    return dict(inputs=images, sample_idx=torch.arange(len(images)) + 3, **more)


def test_a_cell_has_the_class_of_most_of_its_pixels():
    masks = torch.zeros(1, 4, 4, dtype=torch.int64)
    masks[0, :2, :2] = torch.tensor([[7, 7], [7, 0]])
    masks[0, :2, 2:] = torch.tensor([[3, 3], [3, 5]])
    masks[0, 2:, 2:] = 255
    assert of_cells(masks, 2, 2).tolist() == [[[7, 3], [0, 255]]]
    with pytest.raises(ValueError, match=r'\(4, 4\) pixels do not divide into the 3 x 3'):
        of_cells(masks, 3, 3)


def test_cells_are_the_maps_own_columns(photo_images):
    images, label = photo_images[:2], torch.tensor([4, 9])
    data = batch_of(images, gt_label=label)
    source = Cells()
    got = extract(Pixels(), data, [source])[source]
    x = F.avg_pool2d(images.float() / 255, 4)  # (2, 3, 8, 8)
    for row in range(2 * 64):
        n, cell = divmod(row, 64)
        assert torch.equal(got.feature[row], x[n, :, cell // 8, cell % 8])
        assert got.label[row] == label[n]
        assert got.index[row] == (n + 3) * 64 + cell


def test_drawn_cells_depend_on_the_sample_alone(photo_images):
    source = Cells(per_image=5)
    labels = torch.zeros(4, dtype=torch.int64)
    data = batch_of(photo_images[:4], gt_label=labels)
    together = extract(Pixels(), data, [source])[source]
    assert len(together.index) == len(together.index.unique()) == 20
    alone = {name: value[2:3] for name, value in data.items()}
    alone = extract(Pixels(), alone, [source])[source]
    assert alone.index.tolist() == together.index[10:15].tolist()
    cells = (together.index % 64).view(4, 5)
    assert not torch.equal(cells[0], cells[1])  # not the same cells of every image


def test_cells_of_masks_leave_out_what_is_to_be_ignored(photo_images):
    masks = torch.zeros(1, 32, 32, dtype=torch.int64)
    masks[:, :16], masks[:, 16:, :16] = 255, 2
    source = Cells(leave_out=(0,))
    data = batch_of(photo_images[:1], gt_sem_seg=masks)
    got = extract(Pixels(), data, [source], labelled=False)[source]
    assert got.label.tolist() == [2] * 16
    # of images, 255 is a class like any other
    data = batch_of(photo_images[:1], gt_label=torch.tensor([255]))
    assert len(extract(Pixels(), data, [source])[source].label) == 64


def test_patches_vote_for_patches(photo_images):
    metric = PatchKNNMetric(per_image=None, k=1)
    data = batch_of(photo_images[::8], gt_label=torch.arange(4))
    cells = extract(Pixels(), data, [metric.features])[metric.features]
    # each cell finds itself, or one of the same colour
    assert metric.score(cells, cells)['patch_knn/top1_k1'] > 95
    wrong = cells._replace(label=(cells.label + 1) % 4)
    assert metric.score(cells, wrong)['patch_knn/top1_k1'] < 5
    with pytest.raises(ValueError, match='per_image=0, but it must be >= 1 or None'):
        PatchKNNMetric(per_image=0)


def test_cells_that_are_all_left_out_are_refused(photo_images):
    masks = torch.zeros(4, 32, 32, dtype=torch.int64)
    metric = PatchKNNMetric(leave_out=(0,), k=1)
    data = batch_of(photo_images[:4], gt_sem_seg=masks)
    none = extract(Pixels(), data, [metric.features], labelled=False)[metric.features]
    some = none._replace(
        feature=torch.ones(3, 3), label=torch.ones(3).long(), index=torch.arange(3)
    )
    for sets, name in (((none, some), 'bank'), ((some, none), 'queries')):
        text = rf'the {name} have none: all are 255.*leave_out=\(0,\); leave out fewer'
        with pytest.raises(ValueError, match=text):
            metric.compute(*sets)


def pairs(x_global: Tensor, x_local: Tensor) -> Features:
    index = torch.arange(len(x_global))
    return Features(torch.stack((x_global, x_local), dim=1), index, index)


def test_retrieval_counts_who_finds_its_own_image():
    x, metric = torch.randn(50, 16), RetrievalMetric()
    same = metric.score(EMPTY, pairs(x, 3 * x))
    assert same == {'retrieval/top1': 100.0, 'retrieval/top5': 100.0}
    y = x + 1.5 * torch.randn(50, 16)
    got = metric.compute(EMPTY, pairs(x, y))
    order = torch.cosine_similarity(y[:, None], x[None], dim=2).argsort(descending=True)
    for k in (1, 5):
        found = sum(n in order[n, :k].tolist() for n in range(50))
        assert got[f'top{k}'] == pytest.approx(100 * found / 50)
    assert 0 < got['top1'] < got['top5'] < 100


def test_one_vector_for_all_finds_nothing():
    one = torch.ones(50, 16)
    assert RetrievalMetric().compute(EMPTY, pairs(one, one)) == dict(top1=0.0, top5=0.0)


def test_crops_are_cut_from_their_image_by_its_index(photo_images):
    source = CropPair((0.4, 1.0), (0.05, 0.4), None)
    data = batch_of(photo_images[:6])
    first = extract(Pixels(), data, [source], labelled=False)[source]
    assert first.feature.shape == (6, 2, 3)
    assert not torch.equal(first.feature[:, 0], first.feature[:, 1])
    one = {name: value[4:5] for name, value in data.items()}
    again = extract(Pixels(), one, [source], labelled=False)[source]
    torch.testing.assert_close(again.feature[0], first.feature[4])
    # a crop of one colour has that colour, whatever its size
    gray = torch.full((1, 3, 32, 32), 51, dtype=torch.uint8)
    got = extract(Pixels(), batch_of(gray), [source], labelled=False)[source]
    torch.testing.assert_close(got.feature, torch.full((1, 2, 3), 0.2))


def test_each_crop_has_its_own_scale():
    """On a slope of gray, what a crop spans says how large it is."""
    slope = torch.arange(64, dtype=torch.uint8).expand(6, 3, 64, 64)
    seen = []

    class Listening(Pixels):
        def forward(self, inputs: Tensor, mode: str) -> tuple:
            seen.append(inputs)
            return super().forward(inputs, mode)

    source = CropPair((1.0, 1.0), (0.04, 0.09), 16)
    extract(Listening(), batch_of(slope), [source], labelled=False)
    x_global, x_local = (255 * x[:, 0] for x in seen[-2:])
    assert (x_global.shape, x_local.shape) == ((6, 64, 64), (6, 16, 16))
    span = [x.amax((1, 2)) - x.amin((1, 2)) for x in (x_global, x_local)]
    assert (span[0] > 60).all()
    assert (span[1] < 64 * (0.09 * 4 / 3) ** 0.5).all()


def halves(n: int) -> dict:
    """Images whose left part has one colour and class, and whose right part another."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (n, 3, 16, 16), generator=generator).byte()
    masks = torch.zeros(n, 16, 16, dtype=torch.int64)
    for i in range(n):
        edge = 4 * (1 + i % 3)
        images[i, 0, :, edge:] += 120
        masks[i, :, edge:] = 2
    masks[:, 0, 0] = 255
    return batch_of(images, gt_sem_seg=masks)


def test_segmentation_is_scored_by_pixels():
    metric = SegmentationMetric(epochs=10)
    maps = extract(Pixels(), halves(12), [of_maps], labelled=False)[of_maps]
    got = metric.score(maps, maps)
    assert got['segmentation/miou'] > 80  # cells are coarser than the mask's edges
    assert got['segmentation/pixel_accuracy'] > 90
    swapped = maps._replace(label=torch.where(maps.label == 255, 255, 2 - maps.label))
    assert metric.score(maps, swapped)['segmentation/miou'] < 10
    with pytest.raises(ValueError, match='every fifth image of the bank and got 4'):
        metric.score(Features(*(column[:4] for column in maps)), maps)


@pytest.mark.parametrize(
    ('rows', 'of_bank', 'name'),
    [
        (range(12), True, "the bank's images that are fitted have none"),
        ((4, 9), True, "the bank's every fifth image, held out, have none"),
        (range(12), False, 'the queries have none'),
    ],
)
def test_masks_with_nothing_to_learn_or_to_score_are_refused(rows, of_bank, name):
    maps = extract(Pixels(), halves(12), [of_maps], labelled=False)[of_maps]
    label = maps.label.clone()
    label[list(rows)] = 255
    empty = maps._replace(label=label)
    with pytest.raises(ValueError, match=f'{name}: their masks are all 255.*give more'):
        SegmentationMetric().compute(*((empty, maps) if of_bank else (maps, empty)))


def mosaics(split: str, n: int) -> tuple[Tensor, Tensor]:
    """Two by two tiles of photographs, their class the photograph; three in four one."""
    names = ('retina', 'brick', 'grass', 'coffee', 'astronaut')
    data = PhotoTiles(split=split, names=names)
    generator = torch.Generator().manual_seed(0)
    share = torch.tensor([12.0, 1, 1, 1, 1]) / 16
    label = share.multinomial(4 * n, replacement=True, generator=generator)
    images = torch.empty(4 * n, 3, 32, 32, dtype=torch.uint8)
    for place in range(5):
        rows, tiles = label == place, data.images[data.labels == place]
        drawn = torch.randint(len(tiles), (int(rows.sum()),), generator=generator)
        images[rows] = tiles[drawn]
    images = images.view(n, 2, 2, 3, 32, 32).permute(0, 3, 1, 4, 2, 5)
    masks = label.view(n, 2, 1, 2, 1).expand(n, 2, 32, 2, 32)
    return images.reshape(n, 3, 64, 64), masks.reshape(n, 64, 64)


def colours_and_edges(images: Tensor) -> Tensor:
    """Mean colours, their squares and their differences, of cells of 8 x 8 pixels."""
    x = images.float() / 255
    down, right = x.diff(dim=2, append=x[:, :, -1:]), x.diff(dim=3, append=x[..., -1:])
    return F.avg_pool2d(torch.cat((x, x.square(), down.abs(), right.abs()), dim=1), 8)


def noise(images: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(len(images))
    return torch.randn(len(images), 12, 8, 8, generator=generator)


def test_what_knows_photographs_segments_other_tiles_of_them():
    """Held-out parts of real photographs, the defaults, three quarters one class."""

    def score(features) -> dict:
        sets = [
            Features(features(images), masks, torch.arange(len(images)))
            for images, masks in (mosaics('train', 100), mosaics('test', 50))
        ]
        return SegmentationMetric().compute(*sets)

    knows, random = score(colours_and_edges), score(noise)
    share = 100 * (mosaics('test', 50)[1] == 0).double().mean().item()
    assert knows['floor_pixel_accuracy'] == pytest.approx(share)
    assert knows['floor_miou'] == pytest.approx(share / 5)
    assert knows['miou'] > 3 * knows['floor_miou']
    assert knows['pixel_accuracy'] > share + 10
    assert random['miou'] < 1.1 * random['floor_miou']


def test_the_rate_is_chosen_by_the_overlap_and_not_by_the_background(monkeypatch):
    """One classifier says background everywhere, 80 %; one finds the rest, 70 %."""

    def fit(x, y, *, lrs, num_classes, epochs):
        lr = torch.tensor(lrs)[:, None, None]
        return torch.cat((-lr, lr), dim=2), torch.tensor([[[0.5, -0.5]]]).expand(
            len(lrs), 1, 2
        )

    monkeypatch.setattr(dense, 'fit_linear', fit)
    label = torch.tensor([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    x = torch.tensor([1.0, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    maps = Features(
        x.expand(10, 1, 1, 10).clone(), label.expand(10, 1, 10), torch.arange(10)
    )
    assert SegmentationMetric(lrs=(0.0, 1.0)).compute(maps, maps) == dict(
        miou=pytest.approx(100 * (5 / 8 + 2 / 5) / 2),
        pixel_accuracy=pytest.approx(70),
        floor_miou=pytest.approx(40),
        floor_pixel_accuracy=pytest.approx(80),
        lr=1.0,
    )


def test_the_rate_of_a_segmentation_is_chosen_without_the_queries():
    """One rate diverges on the bank; masks of the queries may say what they like."""
    maps = extract(Pixels(), halves(12), [of_maps], labelled=False)[of_maps]
    swapped = maps._replace(label=torch.where(maps.label == 255, 255, 2 - maps.label))
    for query in (maps, swapped):
        for lrs in ((1e9, 0.1), (0.1, 1e9)):
            metric = SegmentationMetric(epochs=10, lrs=lrs)
            assert metric.compute(maps, query)['lr'] == 0.1


def test_classes_left_out_are_as_if_ignored():
    images, masks = mosaics('train', 30)
    index = torch.arange(30)
    maps = Features(colours_and_edges(images), masks, index)
    ignored = maps._replace(label=torch.where(masks == 0, 255, masks))
    got = SegmentationMetric(leave_out=(0,)).compute(maps, maps)
    assert got == SegmentationMetric().compute(ignored, ignored)
    assert got != SegmentationMetric().compute(maps, maps)


def test_the_confusion_counts_every_pixel_that_is_not_ignored():
    maps = torch.tensor([[[[1.0, -1.0], [1.0, -1.0]]]])  # one channel, two columns
    weight, bias = torch.tensor([[-1.0, 1.0]]), torch.zeros(1, 2)
    masks = torch.tensor([[[1, 1, 0, 1], [1, 255, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0]]])
    got = SegmentationMetric.confusion(maps, masks, weight, bias)
    # predicted: class 1 in the left half, class 0 in the right
    assert got.tolist() == [[7, 1], [1, 6]]


def test_without_masks_the_segmentation_probe_says_what_it_needs(photo_images):
    data = batch_of(photo_images[:1])
    with pytest.raises(ValueError, match='needs masks; give the bank and the queries'):
        extract(Pixels(), data, [of_maps], labelled=False)


@pytest.fixture
def tiny_coco(tmp_path: Path) -> Path:
    """Two objects that overlap, a crowd, ids that are not in order."""
    (tmp_path / 'val').mkdir()
    (tmp_path / 'annotations').mkdir()
    Image.fromarray(np.full((20, 40, 3), 90, np.uint8)).save(tmp_path / 'val' / 'a.png')

    def box(x: float, y: float, w: float, h: float) -> list:
        return [[x, y, x + w, y, x + w, y + h, x, y + h]]

    things = [
        dict(category_id=50, segmentation=box(0, 0, 10, 20), area=200, iscrowd=0),
        dict(category_id=7, segmentation=box(0, 0, 20, 20), area=400, iscrowd=0),
        dict(category_id=7, segmentation=box(30, 0, 10, 20), area=200, iscrowd=1),
    ]
    things[2]['segmentation'] = dict(size=[20, 40], counts=[600, 200])
    (tmp_path / 'annotations' / 'instances_val.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=9, file_name='a.png', height=20, width=40)],
                annotations=[
                    dict(thing, id=i, image_id=9) for i, thing in enumerate(things, 1)
                ],
                categories=[dict(id=50, name='cat'), dict(id=7, name='dog')],
            )
        )
    )
    return tmp_path


def test_polygons_become_masks_the_smaller_object_on_top(tiny_coco):
    pytest.importorskip('pycocotools')
    data = CocoMasks(data_root=str(tiny_coco), split='val', size=40)
    item = data[0]
    assert data.metainfo['classes'] == ('background', 'dog', 'cat')
    assert item['inputs'].shape == (3, 40, 40)
    assert item['inputs'].unique().tolist() == [90]
    row = item['gt_sem_seg'][5]
    assert row.tolist() == [2] * 10 + [1] * 10 + [0] * 10 + [255] * 10
    with pytest.raises(FileNotFoundError, match=r'instances_train\.json is not there'):
        CocoMasks(data_root=str(tiny_coco), split='train')


@pytest.mark.slow
def test_on_real_photographs_and_polygons(coco_root):
    """Random weights: what was seen is fitted, and a crop is told by its colours."""
    pytest.importorskip('pycocotools')
    data = CocoMasks(data_root=str(coco_root), split='val2017', size=96)
    assert (len(data), len(data.metainfo['classes'])) == (100, 81)
    net = torchvision.models.resnet18(weights=None).eval()
    model, retrieval = Pixels(), RetrievalMetric()
    model.forward = lambda inputs, mode: (
        nn.Sequential(*list(net.children())[:-2])(inputs - 0.5),
    )
    batch = default_collate([data[i] for i in range(100)])
    found = extract(model, batch, [of_maps, retrieval.features], labelled=False)
    seen, crops = found[of_maps], found[retrieval.features]
    counts = seen.label[seen.label != 255].bincount(minlength=81)
    constant = 100 * (counts.max() / counts.sum() / (counts > 0).sum()).item()
    assert 0.5 < constant < 2  # all background
    got = SegmentationMetric(lrs=(0.1, 1.0), epochs=50).score(seen, seen)
    assert got['segmentation/floor_miou'] == pytest.approx(constant)
    assert got['segmentation/miou'] > 5 * constant
    assert retrieval.score(EMPTY, crops)['retrieval/top1'] > 3  # chance is 1


@pytest.mark.slow
def test_cells_and_crops_validate_a_run(tmp_path, tiny_tree):
    """In `val_evaluator`, before the first and after each of two epochs."""
    cfg = write_config(
        tmp_path,
        'dense',
        'simsiam_logo_r18_cifar10',
        "val_evaluator = [dict(type='PatchKNNMetric', per_image=None, k=5),\n"
        "    dict(type='RetrievalMetric')]\n",
    )
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    found = [r for r in scalars(tmp_path / 'w') if 'patch_knn/top1_k5' in r]
    assert len(found) == 3
    assert all({'retrieval/top1', 'retrieval/top5'} < record.keys() for record in found)
    # four photographs, eight queries: chance is 25 and 12.5
    assert found[-1]['patch_knn/top1_k5'] > 40
    # the network moved, and what is scored with it
    assert found[0]['patch_knn/top1_k5'] != found[-1]['patch_knn/top1_k5']
