"""Pictures show what was used: the boxes, the views, the numbers of the log."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import GLOBAL, KEYS, LOCAL, SPECS, outlines

from mmlogo.report import draw_curves, draw_embedding, draw_views
from mmlogo.report.curves import find_scalars, read_scalars
from mmlogo.report.embedding import _apart, embed
from mmlogo.report.views import COLOURS, make_view
from mmlogo.views import MultiCropPreprocessor
from mmlogo.views.draw import draw_boxes


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 32, 24), dtype=torch.uint8)


def test_outlines_are_the_boxes_of_training(images, tmp_path):
    figure = draw_views(images, KEYS, SPECS, tmp_path / 'views.png')
    drawn = outlines(figure)
    assert len(drawn) == len(images)
    for place, (label, spec) in enumerate(
        zip(('g1', 'g2', 'l1', 'l2'), SPECS, strict=True)
    ):
        boxes = draw_boxes(KEYS, place, spec, 32, 24)
        for n, row in enumerate(drawn):
            assert row[label] == (*boxes[n].tolist(), COLOURS[spec.role])
    assert (tmp_path / 'views.png').stat().st_size > 0


def test_views_are_those_of_the_preprocessor(images):
    preprocessor = MultiCropPreprocessor(
        views=dict(g=GLOBAL, l=LOCAL), mean=(0, 0, 0), std=(255, 255, 255)
    )
    trained_on = preprocessor(dict(inputs=images, seeds=KEYS), True)['inputs']
    for place, spec in enumerate(SPECS):
        for n in range(len(images)):
            shown, _, _ = make_view(images[n], KEYS[n], place, spec)
            torch.testing.assert_close(shown, trained_on[place][n])


def test_every_view_is_shown(images, tmp_path):
    figure = draw_views(images[:1], KEYS[:1], SPECS, tmp_path / 'views.png', ['a tile'])
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 1 + len(SPECS)
    np.testing.assert_allclose(shown[0], images[0].permute(1, 2, 0) / 255, rtol=1e-6)
    for place, spec in enumerate(SPECS):
        view = make_view(images[0], KEYS[0], place, spec)[0]
        np.testing.assert_array_equal(shown[1 + place], view.permute(1, 2, 0))


def test_images_of_several_sizes_and_globals_only(tmp_path):
    images = [
        torch.zeros(3, 20, 30, dtype=torch.uint8),
        torch.zeros(3, 9, 9, dtype=torch.uint8),
    ]
    figure = draw_views(images, KEYS, [GLOBAL], tmp_path / 'views.png')
    assert [set(row) for row in outlines(figure)] == [{'g1'}, {'g1'}]


@pytest.mark.parametrize(('keys', 'titles'), [(KEYS[:1], None), (KEYS, ['one'])])
def test_one_key_and_title_per_image(images, keys, titles, tmp_path):
    with pytest.raises(ValueError, match='exactly one of its'):
        draw_views(images, keys, SPECS, tmp_path / 'views.png', titles)


@pytest.fixture
def work_dir(tmp_path):
    rows = [
        {'knn/top1_k1': 30.0, 'knn/top1_k20': 25.0, 'time': 0.1, 'step': 0},
        {'loss': 0.5, 'loss_gg': -0.25, 'loss_ll': 2e-5, 'epoch': 1, 'iter': 5, 'step': 5},
        {
            'loss': 0.25,
            'loss_gg': -0.5,
            'loss_ll': 1e-5,
            'epoch': 1,
            'iter': 10,
            'step': 10,
        },
        {'knn/top1_k1': 40.0, 'knn/top1_k20': 45.0, 'step': 1},
        {
            'loss': 0.125,
            'loss_gg': -0.75,
            'loss_ll': 3e-5,
            'epoch': 2,
            'iter': 20,
            'step': 20,
        },
        {'knn/top1_k1': 50.0, 'knn/top1_k20': 55.0, 'step': 2},
    ]
    for stamp, kept in (('20200101_000000', rows[:1]), ('20200102_000000', rows)):
        folder = tmp_path / stamp / 'vis_data'
        folder.mkdir(parents=True)
        text = '\n'.join(json.dumps(row) for row in kept)
        (folder / 'scalars.json').write_text(text + '\n')
    return tmp_path


def test_scalars_are_read_from_the_newest_run(work_dir):
    scalars = read_scalars(work_dir)
    assert find_scalars(work_dir).parts[-3] == '20200102_000000'
    assert scalars.knn == {
        1: [(0, 30), (1, 40), (2, 50)],
        20: [(0, 25), (1, 45), (2, 55)],
    }
    assert scalars.losses == {
        'loss_gg': [(0.5, -0.25), (1, -0.5), (2, -0.75)],
        'loss_ll': [(0.5, 2e-5), (1, 1e-5), (2, 3e-5)],
    }


def test_curves_show_the_numbers_of_the_log(work_dir, tmp_path):
    figure = draw_curves(work_dir, tmp_path / 'curves.png', {1: 20.0})
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    assert list(lines['knn k=1'].get_ydata()) == [30, 40, 50]
    assert list(lines['knn k=20'].get_xdata()) == [0, 1, 2]
    assert list(lines['loss_gg'].get_ydata()) == [-0.25, -0.5, -0.75]
    # drawn in units of 1e-5, which its title says
    np.testing.assert_allclose(lines['loss_ll'].get_ydata(), [2, 1, 3])
    assert '10^{-5}' in lines['loss_ll'].axes.get_title(loc='left')
    assert set(lines['raw k=1'].get_ydata()) == {20}
    assert 'raw k=20' not in lines
    assert (tmp_path / 'curves.png').stat().st_size > 0


def test_a_run_without_validation_and_with_one_loss(tmp_path):
    file = tmp_path / 'scalars.json'
    file.write_text('{"loss": 1.5, "epoch": 1, "step": 4}\n')
    figure = draw_curves(file, tmp_path / 'curves.png')
    (axes,) = figure.axes
    assert list(axes.lines[0].get_ydata()) == [1.5]


def test_nothing_to_draw_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'vis_data/scalars\.json'):
        read_scalars(tmp_path)
    file = tmp_path / 'scalars.json'
    file.write_text('{"lr": 0.1, "epoch": 1, "step": 1}\n')
    with pytest.raises(ValueError, match='neither finite losses nor'):
        read_scalars(file)


@pytest.fixture
def clusters() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    centres = torch.eye(8)[:3].repeat_interleave(12, dim=0)
    features = centres + 0.02 * torch.randn(36, 8, generator=generator)
    return features, torch.arange(3).repeat_interleave(12)


def test_a_map_keeps_clusters_together_and_repeats(clusters):
    features, labels = clusters
    points = embed(features)
    centres = np.stack([points[labels == c].mean(0) for c in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(1)
    np.testing.assert_array_equal(nearest, labels)
    np.testing.assert_array_equal(points, embed(4 * features))  # lengths do not count


def test_the_map_names_its_classes(clusters, tmp_path):
    features, labels = clusters
    thumbnails = {0: torch.zeros(3, 8, 8, dtype=torch.uint8)}
    path = tmp_path / 'map.png'
    names = ('red', 'green', 'blue', 'absent')
    figure = draw_embedding(features, labels, names, path, thumbnails, 'a map')
    (axes,) = figure.axes
    assert {text.get_text() for text in axes.texts} == {'red', 'green', 'blue'}
    assert len(axes.collections[0].get_offsets()) == len(features)
    assert path.stat().st_size > 0


def test_names_do_not_cover_each_other():
    half = np.full((4, 2), (0.1, 0.02))
    places = _apart(np.full((4, 2), 0.5) + 1e-3 * np.arange(4)[:, None], half)
    for a in range(4):
        for b in range(a):
            assert (np.abs(places[a] - places[b]) >= 2 * half[0] - 1e-6).any()


def test_a_map_refuses_what_it_cannot_show(clusters, tmp_path):
    features, labels = clusters
    with pytest.raises(ValueError, match='labels for'):
        draw_embedding(features, labels[1:], ('a', 'b', 'c'), tmp_path / 'map.png')
    with pytest.raises(ValueError, match='there are 2 classes'):
        draw_embedding(features, labels, ('a', 'b'), tmp_path / 'map.png')
    with pytest.raises(ValueError, match='at least 5'):
        embed(features[:4])
