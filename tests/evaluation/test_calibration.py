"""`CalibrationMetric`: overlaps by counting pixels, slopes of networks with known ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mmlogo.evaluation import CalibrationMetric, Features, extract
from mmlogo.evaluation.calibration import another, box_overlap
from mmlogo.evaluation.features import EMPTY


class Pixels(nn.Module):
    """A backbone whose map is the image itself; its neck turns the colours round."""

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        return dict(inputs=data['inputs'].float() / 255)

    def forward(self, inputs: Tensor, mode: str) -> tuple:
        return (inputs,)

    def neck(self, maps: tuple) -> tuple:
        return (maps[-1].flip(1),)


def scores(images: Tensor, model: nn.Module | None = None, **options) -> dict[str, float]:
    metric = CalibrationMetric(**options)
    data = dict(inputs=images, sample_idx=torch.arange(len(images)) + 3)
    found = extract(model or Pixels(), data, [metric.features], labelled=False)
    return metric.score(EMPTY, found[metric.features])


def test_overlap_is_that_of_counted_pixels():
    drawn = torch.randint(1, 9, (50, 2, 4))
    got = box_overlap(drawn[:, 0], drawn[:, 1])
    for boxes, overlap in zip(drawn.tolist(), got.tolist(), strict=True):
        one, other = np.zeros((2, 20, 20), bool)
        for mask, (top, left, height, width) in zip((one, other), boxes, strict=True):
            mask[top : top + height, left : left + width] = True
        assert overlap == pytest.approx((one & other).sum() / (one | other).sum())
    assert 0 in got
    assert 0.3 < got.max() <= 1


def made_up(overlap: Tensor, cosine: Tensor) -> Features:
    """Features (N, 2, D) of pairs with these cosines, every image at right angles."""
    n = len(overlap)
    one = torch.eye(n, 2 * n)
    other = cosine[:, None] * one + (1 - cosine**2).sqrt()[:, None] * one.roll(n, dims=1)
    boxes = torch.zeros(n, 2, 4, dtype=torch.int64)
    boxes[:, :, 2:] = 1000
    # shifted by d of 1000 rows, the two share (1000 - d) / (1000 + d)
    boxes[:, 1, 0] = (1000 * (1 - overlap) / (1 + overlap)).round().long()
    label = boxes
    return Features(torch.stack((one, other), dim=1), label, torch.arange(n))


def test_slope_and_value_at_zero_are_those_that_were_put_in():
    overlap = torch.rand(40)
    got = CalibrationMetric().score(EMPTY, made_up(overlap, 0.2 + 0.5 * overlap))
    assert got['calibration/slope'] == pytest.approx(0.5, abs=5e-3)
    assert got['calibration/at_zero'] == pytest.approx(0.2, abs=5e-3)
    assert got['calibration/r'] == pytest.approx(1, abs=1e-4)
    assert got['calibration/other'] == pytest.approx(0)
    assert got['calibration/shuffled_slope'] == pytest.approx(0)


def test_agrees_with_numpy():
    torch.manual_seed(3)
    overlap = torch.rand(60)
    cosine = (0.1 + 0.3 * overlap + 0.2 * torch.randn(60)).clamp(-1, 1)
    features = made_up(overlap, cosine)
    got = CalibrationMetric().score(EMPTY, features)
    s = box_overlap(features.label[:, 0], features.label[:, 1]).numpy()
    slope, at_zero = np.polyfit(s, cosine.numpy(), 1)
    assert got['calibration/slope'] == pytest.approx(slope, rel=1e-4)
    assert got['calibration/at_zero'] == pytest.approx(at_zero, rel=1e-4)
    assert got['calibration/r'] == pytest.approx(np.corrcoef(s, cosine)[0, 1], rel=1e-4)


def test_crops_of_others_are_in_no_order(photo_images):
    """By a loop; and images that are sorted by class are not paired with their like."""
    index = torch.arange(200)
    partner = another(index)
    assert sorted(partner.tolist()) == index.tolist()
    assert (partner != index).all()
    same = (partner // 20 == index // 20).double().mean()
    assert same < 0.25  # 0.1 is expected of ten sorted classes; their neighbours have 0.95
    overlap = torch.rand(40)
    features = made_up(overlap, 0.2 + 0.5 * overlap)
    x = features.feature + torch.rand(40, 1, 1)  # no right angles any more
    features = features._replace(feature=x)
    got = CalibrationMetric().score(EMPTY, features)
    one, other = (x[:, side].numpy().astype(np.float64) for side in (0, 1))
    apart = [
        (one[n] @ other[m]) / np.linalg.norm(one[n]) / np.linalg.norm(other[m])
        for n, m in enumerate(another(features.index).tolist())
    ]
    s = box_overlap(features.label[:, 0], features.label[:, 1]).numpy()
    assert got['calibration/other'] == pytest.approx(np.mean(apart), rel=1e-4)
    slope = np.polyfit(s, apart, 1)[0]
    assert got['calibration/shuffled_slope'] == pytest.approx(slope, rel=1e-3, abs=1e-5)
    assert abs(slope) > 1e-3


def test_of_photographs(photo_images):
    """Their colours follow what crops share, and a shuffled pair shares nothing."""
    images = photo_images.repeat(20, 1, 1, 1)  # the index decides crops: 640 of them
    got = scores(images, features='pixels')
    assert got['calibration/slope'] > 0.02
    assert got['calibration/r'] > 0.1
    assert abs(got['calibration/shuffled_slope']) < got['calibration/slope'] / 2
    assert got['calibration/other'] < got['calibration/at_zero']


def test_a_network_that_sees_nothing_has_no_slope(photo_images):
    class Blind(Pixels):
        def forward(self, inputs: Tensor, mode: str) -> tuple:
            return (torch.ones(len(inputs), 5, 2, 2),)

    got = scores(photo_images, Blind())
    assert got['calibration/slope'] == pytest.approx(0, abs=1e-6)
    assert got['calibration/at_zero'] == pytest.approx(1)
    assert got['calibration/r'] == 0


def test_features_are_what_they_say(photo_images):
    class Seen(Pixels):
        def neck(self, maps: tuple) -> tuple:
            return (maps[-1].new_ones(len(maps[-1]), 3),)

    backbone, neck, pixels = (
        scores(photo_images, Seen(), features=name)
        for name in ('backbone', 'neck', 'pixels')
    )
    assert neck['calibration/slope'] == pytest.approx(0, abs=1e-6)
    assert backbone['calibration/slope'] != pixels['calibration/slope']
    assert backbone['calibration/slope'] != 0


def test_crops_are_those_of_the_index_alone(photo_images):
    metric = CalibrationMetric()

    def boxes(*index: int) -> Tensor:
        data = dict(inputs=photo_images[: len(index)], sample_idx=torch.tensor(index))
        return extract(Pixels(), data, [metric.features], labelled=False)[
            metric.features
        ].label

    assert torch.equal(boxes(4, 5, 6)[1:2], boxes(5))
    assert not torch.equal(boxes(4), boxes(5))
    area = boxes(*range(32))[..., 2:].prod(dim=-1) / 32**2
    assert (area[:, 0] != area[:, 1]).any()
    assert area.min() > 0.03
    assert area.max() < 0.45


def test_bad_arguments(photo_images):
    with pytest.raises(ValueError, match=r"features='head', but it must be one of"):
        CalibrationMetric(features='head')
    with pytest.raises(ValueError, match='2 pairs of crops do not have different overlaps'):
        scores(photo_images[:2])
