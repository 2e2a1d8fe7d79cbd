"""The page shows what was logged and seen, and says what it does not show and why."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers import CHANNELS, GLOBAL, KEYS, LOCAL, ROOT, SPECS, outlines, tool, write_config
from markupsafe import escape
from matplotlib.colors import to_rgb
from mmengine.registry import init_default_scope
from PIL import Image
from skimage.color import deltaE_ciede2000, xyz2lab
from skimage.color.colorconv import xyz_from_rgb
from torch import nn

from mmlogo.config import load_config
from mmlogo.datasets.in_memory import read_tree
from mmlogo.evaluation.knn import nearest
from mmlogo.launch import set_data_root
from mmlogo.models.necks import CoupledNeck
from mmlogo.registry import MODELS
from mmlogo.report import encoder
from mmlogo.report.charts import (
    Line,
    by_range,
    draw_chart,
    epoch_means,
    lines_of,
    shared_limits,
)
from mmlogo.report.dense import enlarge, overlay, pca_colours, sharpest
from mmlogo.report.relations import draw_relations, relations_of
from mmlogo.report.report import read, write_report
from mmlogo.report.theme import DARK, LIGHT
from mmlogo.report.views import draw_crops
from mmlogo.runs import Run, duration, epoch_length, read_run, read_runs
from mmlogo.views.draw import draw_boxes

SECTIONS = (
    'runs',
    'curves',
    'collapse',
    'views',
    'neighbours',
    'map',
    'dense',
    'alignment',
)
# Machado et al., 2009, "A physiologically-based model for simulation of color vision
# deficiency": linear RGB as seen without the cones for green, and for red
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
VOID = {'meta', 'img', 'source', 'br', 'hr', 'link', 'input'}


class Page(HTMLParser):
    """A page's tags, refused where one is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text: dict[str, str] = {}  # of each section
        self.section = ''
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f'{tag} has an attribute twice'
        if tag == 'section':
            self.section = dict(attrs)['id']
            self.text[self.section] = ''
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == 'section':
            self.section = ''

    def handle_data(self, data: str) -> None:
        if self.section:
            self.text[self.section] += data

    def all(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.tags if name == tag]


def check(html: str) -> Page:
    """What holds for every page; the page."""
    page = Page(html)
    assert html.startswith('<!DOCTYPE html>')
    for image in page.all('img'):
        assert image['alt'].strip()
        assert image['src'].startswith('data:image/png;base64,')
    for source in page.all('source'):
        assert source['srcset'].startswith('data:image/png;base64,')
    for tag, attrs in page.tags:
        assert tag not in ('script', 'link', 'iframe', 'object')
        assert not any(name.startswith('on') for name in attrs), attrs
        if 'href' in attrs:
            assert attrs['href'].startswith('#')
    assert 'http:' not in html
    assert 'https:' not in html
    assert 'url(' not in html
    assert '@import' not in html
    ids = [attrs['id'] for _, attrs in page.tags if 'id' in attrs]
    assert len(ids) == len(set(ids))
    assert [link['href'][1:] for link in page.all('a')] == list(SECTIONS)
    assert list(page.text) == list(SECTIONS)
    for name, text in page.text.items():
        shown = any(tag in text for tag in ('Not shown',)) or name in ('runs', 'curves')
        assert shown or page_has_images(html, name), name
    return page


def page_has_images(html: str, section: str) -> bool:
    part = html.partition(f'<section id="{section}">')[2].partition('</section>')[0]
    return '<img ' in part


def write_log(folder: Path, stamp: str, rows: list[dict]) -> None:
    file = folder / stamp / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text('\n'.join(map(json.dumps, rows)) + '\n')


def step(epoch: int, iteration: int, loss: float, **more: float) -> dict:
    return dict(
        lr=0.1,
        loss=loss,
        loss_gg=loss / 2,
        images_per_s=100.0,
        data_wait=0.5,
        memory_mb=2048.0,
        epoch=epoch,
        iter=iteration,
        step=iteration,
        **more,
    )


def leave_config(folder: Path, text: str, name: str = 'mine.py') -> None:
    """Leave a config in a work dir as MMEngine does: its bases filled in."""
    source = folder.parent / 'source.py'
    source.write_text(text)
    load_config(str(source)).dump(folder / name)


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """The folder of a run, for one test."""
    return write_run(tmp_path)


def write_run(parent: Path) -> Path:
    """4 epochs of 10 steps, logged every 4, cut in the third and resumed from two."""
    folder = parent / 'a <b> & run'
    collapse = {'epoch': 2, 'step': 20} | {
        f'collapse/{measure}/{crop}': value
        for measure, value in (('std_ratio', 0.9), ('rank_me', 41.0), ('top1', 70.0))
        for crop in ('global', 'local', 'local_to_global')
    }
    write_log(
        folder,
        '20200101_000000',
        [
            {'knn/top1_k1': 20.0, 'knn/top1_k20': 30.0, 'step': 0},
            *(step(1, i, 3.0) for i in (4, 8)),
            *(step(2, i, 2.0) for i in (14, 18)),
            collapse,
            {'knn/top1_k1': 25.0, 'knn/top1_k20': 50.0, 'online/top1': 33.0, 'step': 2},
            step(3, 24, 99.0),
        ],
    )
    write_log(
        folder,
        '20200102_000000',
        [
            *(step(3, i, 1.0, auc_affinity=0.8, auc_cosine=0.7) for i in (24, 28)),
            *(step(4, i, 0.5, auc_affinity=0.9, auc_cosine=0.6) for i in (34, 38)),
            {'knn/top1_k1': 28.0, 'knn/top1_k20': 45.0, 'online/top1': 35.0, 'step': 4},
        ],
    )
    start = dict(event='start', command='train it', seed=3, hardware='a box', commit='aaa')
    notes = [start, start | dict(commit='bbb'), dict(event='end', epoch=4)]
    notes[2] |= dict(seconds=100.4, cpu_seconds=7500.0)
    (folder / 'runs.jsonl').write_text('\n'.join(map(json.dumps, notes)) + '\n')
    return folder


class TestRuns:
    def test_a_resumed_run_is_one_run(self, work_dir):
        run = read_run(work_dir)
        assert run.scalars['loss'] == [
            (0.4, 3),
            (0.8, 3),
            (1.4, 2),
            (1.8, 2),
            (2.4, 1),  # not 99: that was done again
            (2.8, 1),
            (3.4, 0.5),
            (3.8, 0.5),
        ]
        assert run.scalars['knn/top1_k1'] == [(0, 20), (2, 25), (4, 28)]
        assert run.scalars['collapse/rank_me/local'] == [(2, 41)]  # its step: iterations
        assert (run.done, run.finished, run.unit) == (4, True, 'epoch')

    def test_the_facts_are_those_of_the_notes(self, work_dir):
        facts = read_run(work_dir).facts()
        assert facts['commit'] == 'aaa, then bbb'
        assert facts['command'] == 'train it'
        assert facts['seed'] == '3'
        assert facts['CPU time'].startswith('2 h 5 min in 1 of 2 starts')
        assert facts['peak memory'] == '2.00 GiB'
        assert facts['config'] is None  # there is none, and none is made up
        assert 'bad images' not in facts

    def test_bad_images_are_among_the_facts(self, work_dir):
        names = ['a/1.png', 'b/<b>2</b>.png', 'a/1.png', 'c/3.png', 'c/4.png']
        lines = [json.dumps(dict(event='bad_sample', name=name)) for name in names]
        (work_dir / 'bad_samples.jsonl').write_text('\n'.join(lines) + '\n')
        said = read_run(work_dir).facts()['bad images']
        assert said == '4 replaced by others: a/1.png, b/<b>2</b>.png, c/3.png, ...'

    def test_last_and_best_accuracy(self, work_dir):
        found = {a.scalar: a for a in read_run(work_dir).accuracies()}
        assert list(found) == ['knn/top1_k1', 'knn/top1_k20', 'online/top1']
        twenty = found['knn/top1_k20']
        assert (twenty.last, twenty.last_epoch, twenty.best, twenty.best_epoch) == (
            45,
            4,
            50,
            2,
        )

    def test_an_epochs_length(self):
        # counted anew in every epoch, the last steps never logged: exact all the same
        rows = [step(e, 10 * (e - 1) + i, 1.0) for e in (1, 2, 3) for i in (4, 8)]
        assert epoch_length(rows) == 10
        # counted through: the largest share seen
        rows = [step(-(-i // 10), i, 1.0) for i in range(7, 30, 7)]
        assert epoch_length(rows) == 28 / 3

    def test_a_run_in_progress(self, work_dir):
        (work_dir / 'runs.jsonl').write_text('{"event": "start", "seed": 1}\n')
        log = work_dir / '20200102_000000' / 'vis_data' / 'scalars.json'
        text = json.dumps(step(3, 24, 1.0))
        log.write_text(f'{text}\n{text[:20]}')  # the last line is being written
        run = read_run(work_dir)
        assert (run.done, run.finished) == (2, False)
        assert run.facts()['CPU time'] is None
        log.write_text(f'{text[:20]}\n{text}\n')
        with pytest.raises(ValueError, match=r'line 1 is no JSON .* mend or remove'):
            read_run(work_dir)

    def test_names_tell_runs_apart(self, tmp_path):
        row = [{'loss': 1.0, 'epoch': 1, 'step': 1}]
        for name in ('x/run', 'y/run', 'other'):
            write_log(tmp_path / name, '1', row)
        folders = [tmp_path / name for name in ('x/run', 'y/run', 'other')]
        assert [run.name for run in read_runs(folders)] == ['x/run', 'y/run', 'other']
        with pytest.raises(ValueError, match='is given twice; give every work dir once'):
            read_runs([folders[0], folders[0]])
        write_log(tmp_path / 'steps', '1', [{'loss': 1.0, 'step': 1}])
        with pytest.raises(ValueError, match=r'count alike .*steps: iterations'):
            read_runs([*folders, tmp_path / 'steps'])

    def test_a_folder_without_logs(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'vis_data/scalars\.json; give the'):
            read_runs([tmp_path])
        write_log(tmp_path, '1', [])
        with pytest.raises(ValueError, match='has logged nothing yet; wait'):
            read_runs([tmp_path])

    def test_durations(self):
        assert [duration(s) for s in (48, 1323, 7500)] == ['48 s', '22 min', '2 h 5 min']


def linear(colours: Sequence[str]) -> np.ndarray:
    """(N, 3) linear RGB of colours in sRGB."""
    rgb = np.array([to_rgb(colour) for colour in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


class TestCharts:
    def test_a_chart_shows_the_numbers_of_the_log(self, work_dir, tmp_path):
        lines = lines_of([read_run(work_dir)], 'knn/top1_k20')
        figure = draw_chart(lines, tmp_path / 'a.png', 'k-NN', theme=DARK)
        (axes,) = figure.axes
        assert list(axes.lines[0].get_xydata().ravel()) == [0, 30, 2, 50, 4, 45]
        assert axes.lines[0].get_color() == DARK.shades[0]
        assert '45' in axes.texts[0].get_text()

    def test_training_is_its_mean_over_each_epoch(self, work_dir, tmp_path):
        assert epoch_means([(0.5, 1), (1.0, 3), (1.2, 7)]) == [(0.5, 2), (1.5, 7)]
        lines = lines_of([read_run(work_dir)], 'loss')
        figure = draw_chart(lines, tmp_path / 'a.png', 'loss', steps=True)
        faint, strong = figure.axes[0].lines
        assert list(strong.get_ydata()) == [3, 2, 1, 0.5]
        assert list(strong.get_xdata()) == [0.5, 1.5, 2.5, 3.5]
        assert len(faint.get_xdata()) == 8

    def test_runs_far_apart_have_charts_of_their_own(self):
        def line(name: str, *values: float) -> Line:
            return Line(name, ord(name), [(float(n), v) for n, v in enumerate(values)])

        near = [line('a', -0.1, -0.7), line('b', -0.2, -0.9)]
        far = line('c', 6.0, 7.0)
        assert by_range([far, *near]) == [near, [far]]
        assert by_range([line('a', 0, 5), line('b', 6, 9)]) == [
            [line('a', 0, 5), line('b', 6, 9)]
        ]

    def test_values_that_spread_are_on_a_log_axis(self, tmp_path):
        spread = Line('a', 0, [(0, 1e-5), (1, 1e-5), (2, 1e-2)])
        axes = draw_chart([spread], tmp_path / 'a.png', 'push').axes[0]
        assert axes.get_yscale() == 'log'
        assert axes.get_title(loc='left') == 'push (log)'
        negative = Line('a', 0, [(0, -1.0), (1, 1e-5), (2, 1e-2)])
        axes = draw_chart([negative], tmp_path / 'a.png', 'push').axes[0]
        assert axes.get_yscale() == 'linear'

    def test_charts_of_a_measure_share_their_axis(self):
        low, high = shared_limits(
            [Line('a', 0, [(0, 1.0), (1, 3.0)]), Line('b', 1, [(0, 5.0)])]
        )
        assert low < 1
        assert high > 5

    def test_names_at_the_ends_do_not_cover_each_other(self, tmp_path):
        values = (0.5, 0.5, 0.5, 0.501, 0.9)  # the first run's lines lie on each other
        lines = [Line(f'run {n}', n, [(0, 0.1), (1, y)]) for n, y in enumerate(values)]
        axes = draw_chart(lines, tmp_path / 'a.png', 'loss').axes[0]
        names = [text.get_window_extent() for text in axes.texts]
        assert len(names) == 5
        for n, name in enumerate(names):
            assert name.count_overlaps(names[:n]) == 0
            assert name.x0 == names[0].x0 > axes.get_window_extent().x1

    @pytest.mark.parametrize('theme', [LIGHT, DARK])
    def test_colours_are_seen_on_the_paper(self, theme):
        """A contrast of 3 for lines and of 4.5 for words, as WCAG 2 counts it."""

        def contrast(colour: str) -> float:
            low, high = sorted(linear([colour, theme.paper]) @ (0.2126, 0.7152, 0.0722))
            return (high + 0.05) / (low + 0.05)

        assert len(set(theme.shades)) == len(theme.shades)
        assert min(map(contrast, theme.shades)) >= 3
        assert min(map(contrast, (theme.ink, theme.faint))) >= 4.5

    @pytest.mark.parametrize('theme', [LIGHT, DARK])
    @pytest.mark.parametrize('seen', [np.eye(3), DEUTERANOPIA, PROTANOPIA])
    def test_colours_differ_to_colour_blind_readers_too(self, theme, seen):
        rgb = (linear(theme.shades) @ np.transpose(seen)).clip(0, 1)
        lab = xyz2lab(rgb @ np.transpose(xyz_from_rgb))
        one, other = np.swapaxes(list(itertools.combinations(lab, 2)), 0, 1)
        assert deltaE_ciede2000(one, other).min() > 10  # 2 is just seen


class TestRelations:
    def test_roles_and_the_head_say_who_is_pulled_and_pushed(self, tmp_path):
        head = nn.Module()
        head.affinity, head.gg_pairs = nn.Identity(), 'symmetric'
        relations = relations_of(SPECS, head)
        assert relations.together == []
        assert set(relations.pull) == {
            ('g1', 'g2'),
            ('g2', 'g1'),
            *((a, b) for a in ('l1', 'l2') for b in ('g1', 'g2')),
        }
        assert relations.push == [('l1', 'l2')]
        head.affinity, head.gg_pairs = None, 'one_sided'
        relations = relations_of([GLOBAL] * 3, head)
        assert relations.pull == [('g1', 'g2'), ('g1', 'g3'), ('g2', 'g3')]
        assert relations.push == []
        assert relations_of(SPECS, head).push == []
        # a head that does not say which of two globals is the target
        plain = relations_of([GLOBAL] * 2, nn.Module())
        assert (plain.pull, plain.together) == ([], [('g1', 'g2')])

    def test_the_diagram_has_an_arrow_for_each_pair(self, tmp_path):
        head = nn.Module()
        head.affinity, head.gg_pairs = nn.Identity(), 'symmetric'
        relations = relations_of(SPECS, head)
        figure = draw_relations(SPECS, relations, tmp_path / 'a.png', LIGHT)
        (axes,) = figure.axes
        # g1 and g2 share one with two heads
        assert len(axes.patches) == len(relations.pull) - 1 + len(relations.push)
        assert [t.get_text() for t in axes.texts] == ['g1', 'g2', 'l1', 'l2']

    def test_the_crops_are_those_of_training(self, tmp_path):
        image = torch.randint(0, 256, (3, 32, 24), dtype=torch.uint8)
        figure = draw_crops(image, KEYS[0], [GLOBAL, LOCAL], tmp_path / 'a.png')
        ((drawn),) = outlines(figure)
        for place, (label, spec) in enumerate((('g1', GLOBAL), ('l1', LOCAL))):
            box = draw_boxes(KEYS[:1], place, spec, 32, 24)[0].tolist()
            assert list(drawn[label][:4]) == box


class TestDense:
    def test_cells_that_are_alike_have_one_colour(self):
        kind = torch.arange(2 * 5 * 5).view(2, 5, 5) % 4
        maps = (
            torch.eye(4, 6)[kind].permute(0, 3, 1, 2)
            * torch.tensor([5.0, 3, 2, 1, 1, 1])[:, None, None]
        )
        colours, share = pca_colours(maps)
        assert share == pytest.approx(1)
        flat, kinds = colours.reshape(-1, 3), kind.reshape(-1).numpy()
        for k in range(4):
            assert np.ptp(flat[kinds == k], axis=0).max() < 1e-9
        assert len(np.unique(flat.round(6), axis=0)) == 4
        again, _ = pca_colours(maps)
        np.testing.assert_array_equal(colours, again)
        assert enlarge(colours, 20).shape == (2, 3, 20, 20)

    def test_a_collapsed_map_is_refused(self):
        with pytest.raises(ValueError, match='the network has collapsed'):
            pca_colours(torch.ones(2, 8, 4, 4))
        with pytest.raises(
            ValueError, match='need 3 channels that vary; these maps have 2'
        ):
            pca_colours(torch.randn(2, 2, 4, 4))

    def test_a_map_is_brightest_where_it_is_largest(self):
        weights = torch.full((4, 4), 0.01)
        weights[0, 3] = 0.85
        image = torch.full((3, 32, 32), 128, dtype=torch.uint8)
        shown = overlay(image, weights, 64).sum(0)
        assert shown.shape == (64, 64)
        assert shown[:16, 48:].mean() > 1.5 * shown[32:, :32].mean()

    def test_the_sharpest_map_of_each_group(self):
        maps = torch.full((2, 2, 3, 2, 2), 0.25)
        maps[:, 0, 2] = torch.tensor([[0.97, 0.01], [0.01, 0.01]])
        maps[:, 1, 1] = torch.tensor([[0.4, 0.2], [0.2, 0.2]])
        assert sharpest(maps) == [2, 1]

    def test_a_necks_maps_are_those_it_aligns_with(self):
        torch.manual_seed(0)
        sizes = dict(in_channels=8, hid_channels=8, out_channels=8)
        neck = CoupledNeck(**sizes, norm_cfg=None, num_groups=2)
        x = torch.randn(2, 8, 3, 5)
        maps = neck.maps((x,))
        assert maps.shape == (2, 8, 3, 5)
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 8))
        _, u = neck((x,))
        aligned = neck.align(x.flatten(2), maps.flatten(2))
        torch.testing.assert_close(neck.aligned_projector(aligned), u)

    def test_neighbours_by_cosine(self):
        bank = torch.tensor([[0.0, 9.0], [5.0, 5.0], [-1.0, 0.0], [0.1, 0.01]])
        ((cosine, found),) = nearest(torch.tensor([[2.0, 0.0]]), bank, 3)
        assert found.tolist() == [[3, 1, 0]]  # whatever their lengths
        assert cosine[0, 1].item() == pytest.approx(2**-0.5)


def test_a_classifier_among_the_runs_is_left_out_with_the_reason(tiny_tree, tmp_path):
    cfg = load_config('mmlogo::benchmarks/linear_r18w16_cifar10_5k.py')
    run = Run('linear', tmp_path, cfg, [], {}, 'epoch', 1)
    checkpoints = [tmp_path / 'x.pth']
    report = read([run], checkpoints, 2, str(tiny_tree), True, lambda _: None)
    assert not report.networks
    for section in SECTIONS[4:]:
        gaps = report.gaps[section].items()
        names = [n for why, n in gaps if why.startswith('ImageClassifier is no self-super')]
        assert names == [['linear']]


class TestSamples:
    def test_samples_are_spread_over_the_classes(self):
        assert encoder.evenly(10, 4) == [0, 2, 5, 7]
        assert encoder.evenly(3, 9) == [0, 1, 2]
        labels = torch.arange(4).repeat_interleave(3)
        samples = encoder.Samples(labels, labels, labels, tuple('abcd'), 12)
        assert encoder.one_of_each(samples, 2) == [0, 6]
        assert encoder.one_of_each(samples, 6) == [0, 3, 6, 9, 1, 7]
        assert len(encoder.one_of_each(samples, 99)) == 12

    def test_checkpoints(self, tmp_path):
        one, two = tmp_path / 'one', tmp_path / 'two'
        for folder in (one, two):
            folder.mkdir()
        assert encoder.choose_checkpoints([one, two], []) == [None, None]
        for name in ('epoch_1.pth', 'epoch_2.pth'):
            (one / name).touch()
        (one / 'last_checkpoint').write_text('/moved/since/epoch_1.pth')
        assert encoder.find_checkpoint(one) == one / 'epoch_1.pth'
        with pytest.raises(
            FileNotFoundError, match=r'no checkpoint epoch_2\.pth in .*none'
        ):
            encoder.choose_checkpoints([one, two], ['epoch_2.pth'])
        with pytest.raises(FileNotFoundError, match=r"that folder has .*'epoch_1\.pth'"):
            encoder.choose_checkpoints([one], ['epoch_9.pth'])
        with pytest.raises(ValueError, match='3 checkpoints for 2 runs; give one for each'):
            encoder.choose_checkpoints([one, two], ['a', 'b', 'c'])


class Written(NamedTuple):
    """A report: what it is of, its folder, its page and what was said of it."""

    work_dir: Path
    out: Path
    page: Path
    said: list[str]


@pytest.fixture(scope='class')
def written(tmp_path_factory) -> Written:
    """A report of logs alone. To draw it takes seconds; do not change it."""
    folder, said = tmp_path_factory.mktemp('report'), []
    work_dir = write_run(folder)
    page = write_report(read_runs([work_dir]), [None], folder / 'o', say=said.append)
    return Written(work_dir, folder / 'o', page, said)


class TestPage:
    def test_logs_alone_make_a_page_that_says_what_is_missing(self, written):
        html = written.page.read_text()
        page = check(html)
        assert '<b>' not in html  # a name is no markup
        assert 'a &lt;b&gt; &amp; run' in html
        assert 'best 50.0 at 2' in page.text['runs']
        assert 'no config (*.py) in the work dir' in page.text['runs']
        for section in ('views', 'neighbours', 'map', 'dense', 'alignment'):
            assert 'no config (*.py) in the work dir' in page.text[section]
            assert not page_has_images(html, section)
        alts = ' '.join(image['alt'] for image in page.all('img'))
        for chart in ('loss', 'global to global', 'learning rate', 'k-NN, k = 20'):
            assert f'Chart of {chart} over epochs' in alts
        for crop in ('global crops', 'local crops', 'local to global'):
            assert f'Chart of RankMe, {crop} over epochs' in alts
        assert 'online probe, top 1' in alts
        assert 'AUC of the affinity' in alts
        names = {file.name for file in (written.out / 'figures').iterdir()}
        assert {'loss.png', 'loss_dark.png', 'collapse_rank_me_local.png'} <= names
        assert any('not shown' in line for line in written.said)

    def test_the_same_runs_give_the_same_bytes(self, written, tmp_path):
        def files(folder: Path) -> dict[str, bytes]:
            return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*.*')}

        (tmp_path / 'two' / 'figures').mkdir(parents=True)
        (tmp_path / 'two' / 'figures' / 'old.png').touch()  # of an earlier report
        runs = read_runs([written.work_dir])
        write_report(runs, [None], tmp_path / 'two', say=lambda _: None)
        assert files(written.out) == files(tmp_path / 'two')

    def test_what_an_old_run_lacks_is_said(self, tmp_path):
        write_log(tmp_path / 'old', '1', [{'loss': 1.0, 'epoch': 1, 'step': 1}])
        path = write_report(
            read_runs([tmp_path / 'old']), [None], tmp_path / 'o', say=lambda _: None
        )
        page = check(path.read_text())
        assert 'no runs.jsonl' in page.text['runs']
        assert 'no k-NN accuracy was logged' in page.text['runs']
        assert 'no online or other probe' in page.text['curves']
        assert 'no collapse/* was logged' in page.text['collapse']

    def test_values_that_are_not_finite_are_said(self, work_dir, tmp_path):
        """A run that went NaN in its resumed part, beside one of NaN alone."""
        log = work_dir / '20200102_000000' / 'vis_data' / 'scalars.json'
        nan, inf = float('nan'), float('inf')
        lost = {'loss': nan, 'collapse/rank_me/local': inf}
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        rows = [row | lost if row.get('step') in (28, 34, 38) else row for row in rows]
        rows[0]['auc_cosine'] = inf  # once
        first = work_dir / '20200101_000000' / 'vis_data' / 'scalars.json'
        before = [json.loads(line) for line in first.read_text().splitlines()]
        assert before[-1]['loss_gg'] == 49.5
        before[-1]['loss_gg'] = nan  # done again, and then finite
        # no charts of what else was logged: they take the time
        kept = {'epoch', 'step', 'lr', 'loss_gg', 'auc_cosine', *lost}
        for path, lines in ((log, rows), (first, before)):
            lines = [{k: v for k, v in line.items() if k in kept} for line in lines]
            path.write_text('\n'.join(map(json.dumps, lines)))
        never = {'loss': nan, 'grad_norm': inf, 'epoch': 1}
        write_log(tmp_path / 'never', '1', [never | {'step': i} for i in (5, 9)])

        runs = read_runs([work_dir, tmp_path / 'never'])
        assert runs[0].scalars['loss'][-1] == (2.4, 1)
        assert set(runs[0].lapses) == {*lost, 'auc_cosine'}
        assert 'loss' not in runs[1].scalars
        html = write_report(runs, [None] * 2, tmp_path / 'o', say=lambda _: None)
        text = check(html.read_text()).text
        name = work_dir.name
        assert f'{name}: loss is not finite from step 28 on' in text['curves']
        for scalar in ('loss', 'grad_norm'):
            assert f'never: {scalar} is not finite from step 5 on' in text['curves']
        assert 'Loss terms: no loss was logged' not in text['curves']
        assert (
            f'{name}: collapse/rank_me/local is not finite from step 28 on'
            in text['collapse']
        )
        assert (
            f'{name}: auc_cosine is not finite at 1 of 4 steps logged, first at step 24'
            in text['collapse']
        )
        assert f'Chart of loss over epochs: {name} from 3 to 1.' in unescape(
            html.read_text()
        )

        html = write_report(runs[1:], [None], tmp_path / 'o', say=lambda _: None)
        page = check(html.read_text())
        assert 'never: loss is not finite from step 5 on' in page.text['curves']
        assert 'no loss was logged' not in page.text['curves']
        assert 'Loss terms' not in page.text['curves']  # an empty group

    def test_reasons_of_several_runs_are_one(self, tmp_path):
        said: list[str] = []
        for name in ('a', 'b'):
            write_log(tmp_path / name, '1', [{'loss': 1.0, 'epoch': 1, 'step': 1}])
        write_log(tmp_path / 'c', '1', [{'online/top1': 30.0, 'epoch': 1, 'step': 1}])
        runs = read_runs([tmp_path / name for name in 'abc'])
        html = write_report(runs, [None] * 3, tmp_path / 'o', say=said.append).read_text()
        page = check(html)
        assert 'a, b, c: no runs.jsonl' in page.text['runs']
        assert 'a, b: no accuracy of an online probe' in page.text['runs']
        assert page.text['runs'].count('online probe (online/top1)') == 1
        # of no run in particular
        reasons = page.text['curves'].splitlines()
        assert 'Learning rate: no learning rate (lr) was logged' in reasons
        assert '  not shown: a, b, c: no runs.jsonl' in said

    def test_data_that_are_not_there(self, work_dir, tmp_path):
        leave_config(
            work_dir,
            f"_base_ = 'mmlogo::simsiam_r18_cifar10.py'\ndata_root = {str(tmp_path)!r}\n"
            f'val_dataloader = dict(dataset=dict(data_root={str(tmp_path)!r}))\n',
        )
        runs = read_runs([work_dir])
        found = read(runs, [None], 2, None, True, lambda _: None)
        assert not found.chosen
        for section in SECTIONS[3:]:
            (why,) = found.gaps[section]
            assert 'CIFAR10 was found neither as a tree' in why
        with pytest.raises(FileNotFoundError, match='CIFAR10 was found neither as a tree'):
            read(runs, [None], 2, str(tmp_path), True, lambda _: None)
        nowhere = str(tmp_path / 'nowhere')
        with pytest.raises(FileNotFoundError, match='is no folder'):
            read(runs, [None], 2, nowhere, True, lambda _: None)
        with pytest.raises(ValueError, match='--samples 0, but it must be at least 1'):
            write_report(runs, [None], tmp_path / 'o', samples=0)


MEASURE = """<script>addEventListener('load', () => {
  for (const image of document.images) {
    image.dataset.natural = `${image.naturalWidth} x ${image.naturalHeight}`;
    image.dataset.shown = image.clientWidth * image.clientHeight;
  }
  const page = document.documentElement;
  page.dataset.beyond = page.scrollWidth - page.clientWidth;
});</script>"""


@pytest.fixture
def browser(tmp_path: Path) -> list[str]:
    """The command of a browser without a window."""
    for name in ('chromium', 'chromium-browser', 'google-chrome'):
        if path := shutil.which(name):
            profile = f'--user-data-dir={tmp_path / "profile"}'
            return [path, '--headless', '--no-sandbox', '--disable-gpu', profile]
    pytest.skip('no chromium, chromium-browser or google-chrome is installed')


def rendered(browser: list[str], page: Path, *words: str, width: int = 1280) -> str:
    """Return what a browser makes of a page, once its scripts have run."""
    words = ('--virtual-time-budget=10000', f'--window-size={width},2400', *words)
    done = subprocess.run(
        [*browser, *words, '--dump-dom', page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('width', [1280, 500])
def test_a_browser_shows_the_page(width, browser, work_dir, tiny_tree, tmp_path):
    leave_config(work_dir, "_base_ = 'mmlogo::simsiam_logo_r18_cifar10.py'\n")
    path = write_report(
        read_runs([work_dir]),
        [None],
        tmp_path / 'o',
        samples=2,
        data_root=str(tiny_tree),
        use_model=False,
        say=lambda _: None,
    )
    html = path.read_text()

    shot = tmp_path / 'page.png'
    page = check(rendered(browser, path, f'--screenshot={shot}', width=width))
    written = check(html)
    assert page.all('img') == written.all('img')
    assert {name: text.split() for name, text in page.text.items()} == {
        name: text.split() for name, text in written.text.items()
    }
    # the page has no scripts: a copy that says what was made of it
    copy = tmp_path / 'copy.html'
    copy.write_text(html.replace('</body>', f'{MEASURE}</body>'))
    measured = Page(rendered(browser, copy, width=width))
    assert len(measured.all('img')) == len(written.all('img')) > 20
    for image in measured.all('img'):
        assert image['data-natural'] == f'{image["width"]} x {image["height"]}'
        assert int(image['data-shown']) > 0, image['alt']
    assert int(measured.all('html')[0]['data-beyond']) <= 0  # nothing to scroll to
    with Image.open(shot) as image:
        assert image.width == width
        pixels = np.asarray(image.convert('RGB')).reshape(-1, 3)
    assert pixels.std() > 10
    line = np.array([int(LIGHT.shades[0][i : i + 2], 16) for i in (1, 3, 5)])
    assert (pixels == line).all(1).sum() > 200  # the run's, in its charts


def canary(place: str) -> str:
    """A name that is markup where it is not escaped. It gives the page another title."""
    return f"""'"><img src=x onerror=document.title='owned:{place}'> $\\frac$ <script>"""


@pytest.fixture
def hostile(tmp_path: Path, tiny_tree: Path) -> tuple[Run, Path]:
    """A run and its checkpoint, in which everything that has a name has a bad one."""
    root = tmp_path / 'data'
    shutil.copytree(tiny_tree, root)
    for split in ('train', 'test'):
        for folder in [*(root / split).iterdir()]:
            for file in [*folder.iterdir()]:
                file.rename(file.with_name(f'{canary("file")} {file.name}'))
            folder.rename(folder.with_name(f'{canary("class")} {folder.name}'))
    folder = tmp_path / canary('run')
    nan = {f'loss_{canary("lapse")}': float('nan')}
    named = {f'loss_{canary("loss")}': 1.0, canary('scalar'): 2.0} | nan
    write_log(
        folder,
        '1',
        [
            *(step(1, i, 1.0, **named) for i in (4, 8)),
            {f'{canary("probe")}/top1': 20.0, 'knn/top1_k20': 30.0, 'step': 1},
            {f'collapse/{canary("measure")}/{canary("crop")}': 1.0, 'epoch': 1, 'step': 8},
        ],
    )
    start = {name: canary(name) for name in ('command', 'seed', 'hardware', 'commit')}
    (folder / 'runs.jsonl').write_text(json.dumps(dict(event='start') | start) + '\n')
    cfg = load_config(str(write_config(tmp_path, 'c', 'lewel_b_eman_r18_cifar10')))
    set_data_root(cfg, str(root))
    cfg.dump(folder / f'{canary("config")}.py')
    init_default_scope('mmlogo')
    checkpoint = folder / f'{canary("checkpoint")}.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), checkpoint)
    return read_run(folder), checkpoint


PLACES = ('run', 'class', 'loss', 'lapse', 'scalar', 'probe', 'measure', 'crop', 'command')
PLACES += ('seed', 'hardware', 'commit', 'config', 'checkpoint')


def test_names_are_text_on_the_page(hostile, tmp_path):
    r"""Also in pictures, where `$\frac$` would be a formula without an end."""
    run, checkpoint = hostile
    path = write_report([run], [checkpoint], tmp_path / 'o', samples=2, say=lambda _: None)
    page = check(path.read_text())
    for section in ('views', 'neighbours', 'map', 'dense', 'alignment'):
        assert page_has_images(path.read_text(), section), section
    shown = ' '.join([*page.text.values(), *(image['alt'] for image in page.all('img'))])
    for place in PLACES:
        assert canary(place) in shown, place
    # of an image that cannot be read, the page says the name
    data = Path(run.cfg.data_root) / 'test'
    next(data.rglob('*.png')).write_bytes(b'')
    read_tree.cache_clear()
    broken = write_report([run], [None], tmp_path / 'o', say=lambda _: None)
    assert canary('file') in check(broken.read_text()).text['views']
    # beside a run whose config is not read: a line of it is in the reason
    (run.folder / 'runs.jsonl').unlink()
    for file in run.folder.glob('*.py'):
        file.write_text(f'import {canary("line")}')
    again = write_report([read_run(run.folder)], [None], tmp_path / 'o', say=lambda _: None)
    assert 'it cannot be parsed as Python' in check(again.read_text()).text['views']


@pytest.mark.slow
def test_no_name_is_a_script_to_a_browser(hostile, browser, tmp_path):
    run, checkpoint = hostile
    path = write_report([run], [checkpoint], tmp_path / 'o', samples=2, say=lambda _: None)
    html = rendered(browser, path)
    title = html.partition('<title>')[2].partition('</title>')[0]
    assert unescape(title) == run.name == canary('run')
    written, page = check(path.read_text()), check(html)
    assert len(page.tags) >= len(written.tags)
    assert [*page.all('img')] == [*written.all('img')]
    assert {name: text.split() for name, text in page.text.items()} == {
        name: text.split() for name, text in written.text.items()
    }
    # with any one of these names as markup, the browser does run its script
    copy = tmp_path / 'copy.html'
    for place in PLACES:
        escaped = str(escape(canary(place)))
        copy.write_text(
            path.read_text().replace(escaped, canary(place).rpartition(' <')[0])
        )
        assert f'<title>owned:{place}</title>' in rendered(browser, copy), place


CODE = {
    'a call': "__import__('pathlib').Path({sign!r}).touch()",
    'a value': "a = __import__('pathlib').Path({sign!r}).touch()",
    'an import': 'import os\nos.mkdir({sign!r})',
    'a base': "_base_ = './base.py'",
    'an f-string': 'a = f"{{open({sign!r}, chr(119))}}"',
    'a lambda': 'a = (lambda: open({sign!r}, "w"))()',
    'a comprehension': "a = [open({sign!r}, 'w') for _ in (1,)]",
    'a dunder': 'a = ().__class__.__base__.__subclasses__()',
    'a walrus': "a = (b := open({sign!r}, 'w'))",
    'a default': "a = dict(b=dict(c=open({sign!r}, 'w')))",
    'a variable': 'a = dict(b=1)\nb = a',
    'two stars': "a = dict(**{{'b': 1}})",
    'a class': "class A:\n    open({sign!r}, 'w')",
}


@pytest.mark.parametrize('code', CODE)
def test_the_code_of_a_config_is_not_run(code, work_dir, tmp_path):
    """Among plain lines, and with a file that it would inherit from."""
    sign = tmp_path / 'sign'
    text = CODE[code].format(sign=str(sign))
    leave_config(work_dir, "_base_ = 'mmlogo::simsiam_r18_cifar10.py'\n")
    mine = work_dir / 'mine.py'
    mine.write_text(mine.read_text() + text)
    (work_dir / 'base.py').write_text(CODE['a call'].format(sign=str(sign)))
    os.utime(work_dir / 'base.py', (0, 0))
    run = read_run(work_dir)
    assert (run.cfg, run.facts()['config']) == (None, None)
    assert str(mine) in run.unread
    assert 'is more than a name and a plain value' in run.unread
    assert not sign.exists()


def test_a_run_whose_config_has_code_shows_its_logs(work_dir, tmp_path):
    (work_dir / 'mine.py').write_text(f"import os\nos.mkdir('{tmp_path}/sign')\n")
    run = read_run(work_dir)
    path = write_report([run], [None], tmp_path / 'o', say=lambda _: None)
    page = check(path.read_text())
    assert 'best 50.0 at 2' in page.text['runs']
    assert page_has_images(path.read_text(), 'curves')
    for section in ('runs', *SECTIONS[3:]):
        assert 'is more than a name and a plain value' in page.text[section]
        assert 'no config (*.py)' not in page.text[section]
    assert not (tmp_path / 'sign').exists()


def named_by_type(sign: Path) -> dict[str, dict]:
    """Parts of a config, plain values all, with which MMEngine would make a file."""
    touch = f'touch {sign}'
    return {
        'a command': dict(type='os.system', command=touch),
        'a process': dict(type='subprocess.Popen', args=touch, shell=True),
        'a module': dict(type='a_module_of_mine'),
        'a scope': dict(type='ResNet', _scope_='a_module_of_mine'),
        'a transform': dict(
            type='torchvision/ConvertImageDtype',
            dtype=f'float32 if __import__("os").system({touch!r}) else 0',
        ),
    }


@pytest.mark.parametrize(
    ('where', 'kind'),
    [
        *(('val', kind) for kind in named_by_type(Path())),
        ('pipeline', 'a transform'),
        *((part, 'a command') for part in ('type', 'backbone', 'neck', 'head', 'bank')),
        ('data_preprocessor', 'a module'),
    ],
)
def test_no_class_of_others_is_built(where, kind, hostile, tmp_path, monkeypatch):
    """The rest of the page is there."""
    sign = tmp_path / 'sign'
    (tmp_path / 'modules').mkdir()
    for name in ('a_module_of_mine.py', 'registry.py'):
        (tmp_path / 'modules' / name).write_text(f'open({str(sign)!r}, "w")\n')
    monkeypatch.syspath_prepend(str(tmp_path / 'modules'))
    run, checkpoint = hostile
    part = named_by_type(sign)[kind]
    match where:
        case 'val' | 'bank':
            run.cfg[f'{where}_dataloader'].dataset = part
        case 'pipeline':
            dataset = dict(type='CustomDataset', data_root='data', pipeline=[part])
            run.cfg.val_dataloader.dataset = dataset
        case 'type':
            run.cfg.model |= part
        case 'data_preprocessor':
            run.cfg.model.data_preprocessor |= part
        case _:
            run.cfg.model[where] = part
    run.cfg.custom_imports = dict(imports=['a_module_of_mine'])
    run.cfg.dump(next(run.folder.glob('*.py')))
    run = read_run(run.folder)
    assert run.cfg is not None
    path = write_report([run], [checkpoint], tmp_path / 'o', samples=2, say=lambda _: None)
    page = check(path.read_text())
    lacking = {
        'val': SECTIONS[3:],
        'pipeline': SECTIONS[3:],
        'bank': ('neighbours',),
        'head': ('views',),
    }.get(where, SECTIONS[4:])
    for section in SECTIONS:
        said = 'if you trust the work dir, add --trust, which also imports' in ' '.join(
            page.text[section].split()
        )
        assert said == (section in lacking), section
    assert not sign.exists()


def report(*words: object, monkeypatch) -> int:
    spec = importlib.util.spec_from_file_location('report', ROOT / 'tools' / 'report.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, 'argv', ['report.py', *map(str, words)])
    return module.main()


def test_the_tool_names_what_is_wrong(tmp_path, capsys, monkeypatch):
    assert report(tmp_path, monkeypatch=monkeypatch) == 1
    assert 'report: no scalars in' in capsys.readouterr().err


def test_a_class_of_ones_own_is_built_if_the_work_dir_is_trusted(
    hostile, tmp_path, capsys, monkeypatch
):
    run, checkpoint = hostile
    (tmp_path / 'modules').mkdir()
    (tmp_path / 'modules' / 'my_networks.py').write_text(
        'from mmpretrain.models import ResNet_CIFAR\n'
        'from mmlogo.registry import MODELS\n\n\n'
        '@MODELS.register_module()\nclass MyNetwork(ResNet_CIFAR):\n    pass\n'
    )
    run.cfg.model.backbone.type = 'MyNetwork'
    run.cfg.custom_imports = dict(imports=['my_networks'])
    run.cfg.dump(next(run.folder.glob('*.py')))
    words = (run.folder, '--checkpoint', checkpoint.name, '--out', tmp_path / 'o')
    assert report(*words, monkeypatch=monkeypatch) == 0
    html = (tmp_path / 'o' / 'report.html').read_text()
    text = check(html).text['dense']
    assert "names 'MyNetwork'" in text
    assert 'add --trust' in text
    assert 'my_networks' not in sys.modules

    assert report(*words, '--trust', monkeypatch=monkeypatch) == 1
    message = capsys.readouterr().err
    assert 'Failed to import my_networks; add the folder of the module' in message

    monkeypatch.syspath_prepend(str(tmp_path / 'modules'))
    assert report(*words, '--trust', monkeypatch=monkeypatch) == 0
    html = (tmp_path / 'o' / 'report.html').read_text()
    assert page_has_images(html, 'dense')
    assert 'MyNetwork' not in check(html).text['dense']
    MODELS.module_dict.pop('MyNetwork')
    sys.modules.pop('my_networks')


@pytest.mark.slow
def test_trained_networks_side_by_side(tmp_path, tiny_tree, capsys, monkeypatch):
    """Two tiny runs, one with local views, one whose neck has maps."""
    folders = []
    for base in ('simsiam_logo_r18_cifar10', 'lewel_b_eman_r18_cifar10'):
        schedule = "param_scheduler = [dict(type='ConstantLR', factor=1.0)]\n"
        cfg = write_config(tmp_path, f'cfg_{base}', base, schedule)
        folders.append(tmp_path / base)
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', folders[-1])
    out = tmp_path / 'out'
    words = (*folders, '--out', out, '--samples', 3)
    assert report(*words, monkeypatch=monkeypatch) == 0
    assert str(out / 'report.html') in capsys.readouterr().out.splitlines()[-1]
    html = (out / 'report.html').read_text()
    page = check(html)
    for section in SECTIONS[3:]:
        assert page_has_images(html, section), section
    lacks = 'simsiam_logo_r18_cifar10: its neck has no alignment maps'
    assert lacks in page.text['alignment']
    assert 'of images enlarged 4 times' in page.text['dense']
    assert 'Diagram: pulled g1 to g2, g2 to g1, l1 to g1' in html
    assert 'pushed l1 from l2.' in html
    assert 'Diagram: pulled none; together g1 with g2; pushed none.' in html

    # a neighbour's mark and its cosine are those of the features
    run = read_run(folders[0])
    looking = encoder.Encoder(run.cfg, folders[0] / 'epoch_2.pth')
    query = encoder.read_samples(run.cfg, 'val_dataloader', 1000)
    bank = encoder.read_samples(run.cfg, 'bank_dataloader', 1000)
    one = looking.features(query.images[:1])
    ((cosine, found),) = nearest(one, looking.features(bank.images), 8)
    name = bank.name(int(found[0, 0]))
    mark = '✓' if name == query.name(0) else '✗'
    assert f'{mark} {cosine[0, 0]:.2f} {name}' in page.text['neighbours']

    # the features are those of validation
    maps, factor = looking.dense(query.images)
    assert (maps.shape[1:], factor) == ((CHANNELS, 16, 16), 4)

    assert report(*words, '--no-model', monkeypatch=monkeypatch) == 0
    page = check((out / 'report.html').read_text())
    assert '--no-model was given' in page.text['neighbours']
    assert 'g1: ' in page.text['views']

    # a checkpoint of another network
    wide = write_config(
        tmp_path,
        'wide',
        'simsiam_logo_r18_cifar10',
        "model['backbone'] = dict(stem_channels=4, base_channels=8)\n"
        "model['neck']['in_channels'] = 64\n",
    )
    tool('train', wide, '--data-root', tiny_tree, '--work-dir', tmp_path / 'wide_run')
    words = (folders[0], '--checkpoint', tmp_path / 'wide_run' / 'epoch_2.pth')
    assert report(*words, '--out', out, monkeypatch=monkeypatch) == 1
    assert 'tensors of the backbone do not fit' in capsys.readouterr().err

    # which leaves the earlier page, and its pictures, as they were
    assert check((out / 'report.html').read_text()).text == page.text
    with Image.open(out / 'figures' / 'lr.png') as image:
        assert image.size == (800, 500)
