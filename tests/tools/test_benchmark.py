"""`tools/benchmark.py` runs in small; its numbers are for larger networks."""

from __future__ import annotations

import importlib.util
import json

import pytest
from helpers import ROOT, tool, write_config

pytestmark = pytest.mark.slow


@pytest.fixture
def words(tmp_path, tiny_tree, monkeypatch) -> list:
    monkeypatch.syspath_prepend(ROOT / 'tools')
    cfg = write_config(
        tmp_path,
        'one',
        'simsiam_logo_r18_cifar10',
        'bank_dataloader = dict(batch_size=8)\nval_dataloader = dict(batch_size=8)\n',
    )
    return [cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w', '--no-amp']


def test_the_parts_of_a_training(words, tmp_path):
    tool('benchmark', 'gpu', *words, '--steps', '2')
    _, (row,) = json.loads((tmp_path / 'w' / 'gpu.json').read_text())
    assert 'error' not in row, row['error']
    for name in ('end to end', 'step', 'views', 'evaluation', 'bare'):
        assert row[name] > 0
    assert row['of bare'] == row['end to end'] / row['bare']
    assert row['waits'] == {}  # nobody waits for a CPU
    assert '| one | 8 |' in (tmp_path / 'w' / 'gpu.md').read_text()


def test_the_time_to_start(words, tmp_path, monkeypatch):
    config, *rest = words
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    out = tmp_path / 'startup.json'
    tool(
        'benchmark', 'startup', config, *rest[:2], '--rounds', '1', '--no-amp', '--out', out
    )
    record = json.loads(out.read_text())
    for case, seconds in record['seconds'].items():
        assert len(seconds) == 1, case
        assert record['median'][case] == seconds[0] > 0, case
    assert record['of_the_peer']['import mmlogo'] < 1
    assert record['imported']['tools/train.py --help'] == []


def test_the_cost_of_surviving(words, capsys):
    tool('benchmark', 'survival', *words, '--blocks', '8', '--block', '2')
    text = capsys.readouterr().out
    assert '3 pairs of 2 steps' in text
    assert 'with them ' in text


def test_views_beside_other_libraries(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    find, absent = importlib.util.find_spec, ('lightly', 'albumentations', 'kornia')
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name in absent else find(name)
    )
    words = ('--rounds', '2', '--images', '2', '--batch', '4', '--sizes', '24', '12')
    tool('benchmark', 'views', *words, '--out', tmp_path / 'views.json')
    text = capsys.readouterr().out
    for name in absent:
        assert f'{name} is not installed: left out' in text
    found = json.loads((tmp_path / 'views.json').read_text())
    peers = {'torchvision on PIL images', 'mmpretrain'}
    for case in ('jpeg', 'small', 'growth'):
        seconds, summary = found[case]['seconds'], found[case]['summary']
        assert all(len(spent) == 2 for spent in seconds.values())
        assert case == 'growth' or peers < set(seconds)
        first, *_ = seconds.values()
        for name, spent in seconds.items():
            ratios = [a / b for a, b in zip(spent, first, strict=True)]
            assert summary[name]['ratio'] == pytest.approx(sum(ratios) / 2)
