"""Pictures show what was used: the boxes, the views, the numbers of the log."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from helpers import GLOBAL, KEYS, LOCAL, SPECS, outlines
from matplotlib.offsetbox import AnnotationBbox

from mmlogo.report import draw_curves, draw_embedding, draw_views
from mmlogo.report.embedding import embed
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
            shown = make_view(images[n], KEYS[n], place, spec)
            torch.testing.assert_close(shown.pixels, trained_on[place][n])


def test_every_view_is_shown(images, tmp_path):
    figure = draw_views(images[:1], KEYS[:1], SPECS, tmp_path / 'views.png', ['a tile'])
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert len(shown) == 1 + len(SPECS)
    np.testing.assert_allclose(shown[0], images[0].permute(1, 2, 0) / 255, rtol=1e-6)
    for place, spec in enumerate(SPECS):
        view = make_view(images[0], KEYS[0], place, spec).pixels
        np.testing.assert_array_equal(shown[1 + place], view.permute(1, 2, 0))


def test_images_of_several_sizes_and_globals_only(tmp_path):
    images = [
        torch.zeros(3, 20, 30, dtype=torch.uint8),
        torch.zeros(3, 9, 9, dtype=torch.uint8),
    ]
    figure = draw_views(images, KEYS, [GLOBAL], tmp_path / 'views.png')
    assert [set(row) for row in outlines(figure)] == [{'g1'}, {'g1'}]


@pytest.mark.parametrize(('seeds', 'titles'), [(KEYS[:1], None), (KEYS, ['one'])])
def test_one_row_of_seeds_and_one_title_per_image(images, seeds, titles, tmp_path):
    with pytest.raises(ValueError, match='exactly one of its'):
        draw_views(images, seeds, SPECS, tmp_path / 'views.png', titles)


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


def test_curves_show_the_numbers_of_the_log(work_dir, tmp_path):
    figure = draw_curves(work_dir, tmp_path / 'curves.png', {1: 20.0})
    lines = {line.get_gid(): line for axes in figure.axes for line in axes.lines}
    # not the sum of the losses; of the raw pixels what was given
    assert set(lines) == {'k = 1', 'k = 20', 'loss_gg', 'loss_ll', 'raw pixels, 1: 20.0'}
    for name, points in {
        'k = 1': [(0, 30), (1, 40), (2, 50)],
        'k = 20': [(0, 25), (1, 45), (2, 55)],
        'loss_gg': [(0.5, -0.25), (1, -0.5), (2, -0.75)],
        'loss_ll': [(0.5, 2e-5), (1, 1e-5), (2, 3e-5)],
    }.items():
        assert list(map(tuple, lines[name].get_xydata())) == points
    # its axis counts in units of 1e-5, and says so
    unit = lines['loss_ll'].axes.yaxis.get_offset_text().get_text()
    assert '10^{\N{MINUS SIGN}5}' in unit
    assert set(lines['raw pixels, 1: 20.0'].get_ydata()) == {20}
    assert (tmp_path / 'curves.png').stat().st_size > 0


def test_a_run_without_validation_and_with_one_loss(tmp_path):
    file = tmp_path / '1' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('{"loss": 1.5, "epoch": 1, "step": 4}\n')
    figure = draw_curves(tmp_path, tmp_path / 'curves.png')
    (axes,) = figure.axes
    assert list(axes.lines[0].get_ydata()) == [1.5]


def test_nothing_to_draw_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'vis_data/scalars\.json'):
        draw_curves(tmp_path, tmp_path / 'curves.png')
    file = tmp_path / '1' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('{"lr": 0.1, "epoch": 1, "step": 1}\n')
    with pytest.raises(ValueError, match='neither finite losses nor'):
        draw_curves(tmp_path, tmp_path / 'curves.png')


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
    assert sum(len(points.get_offsets()) for points in axes.collections) == len(features)
    assert path.stat().st_size > 0


def test_names_do_not_cover_each_other(tmp_path):
    """Nor pictures names, where four classes lie in one place."""
    labels = torch.arange(4).repeat_interleave(2)
    points = np.vstack((np.full((7, 2), 0.5) + 1e-3 * np.arange(7)[:, None], [[1, 1]]))
    thumbnails = {n: torch.zeros(3, 32, 32, dtype=torch.uint8) for n in range(8)}
    names, path = ('airplane', 'automobile', 'bird', 'cat'), tmp_path / 'map.png'
    figure = draw_embedding(labels, labels, names, path, thumbnails, points=points)
    (axes,) = figure.axes
    pictures = [a for a in axes.artists if isinstance(a, AnnotationBbox)]
    assert pictures
    extents = [artist.get_window_extent() for artist in (*axes.texts, *pictures)]
    assert len(axes.texts) == 4
    for n, extent in enumerate(extents):
        assert extent.count_overlaps(extents[:n]) == 0


def test_a_map_refuses_what_it_cannot_show(clusters, tmp_path):
    features, labels = clusters
    with pytest.raises(ValueError, match='labels for'):
        draw_embedding(features, labels[1:], ('a', 'b', 'c'), tmp_path / 'map.png')
    with pytest.raises(ValueError, match='there are 2 classes'):
        draw_embedding(features, labels, ('a', 'b'), tmp_path / 'map.png')
    with pytest.raises(ValueError, match='at least 5'):
        embed(features[:4])
