"""`tools/benchmark.py` runs in small; its numbers are for larger networks."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
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


def rows(path) -> list[dict]:
    """The rows that a benchmark wrote. They say on what they were measured."""
    origin, found = json.loads(path.read_text())
    assert {'command', 'date', 'hardware', 'threads', 'torch', 'commit'} == {*origin}
    return found


def test_a_training_beside_bare_loops(words, tmp_path, capsys):
    out = tmp_path / 'e2e.json'
    tool('benchmark', 'e2e', *words, '--rounds', '2', '--block', '1', '--out', out)
    (row,) = rows(out)
    assert {len(times) for times in row['seconds'].values()} == {2}
    text = capsys.readouterr().out
    for name in ('kornia', 'lightly', 'mmpretrain'):  # they know two equal views
        assert name not in row['seconds']
        assert f'{name} is left out' in text
    for name in ('bare, channels_last', 'bare, contiguous'):
        ours = row['first_losses']['ours']
        assert row['first_losses'][name] == pytest.approx(ours, abs=1e-5)  # rounding
        assert f'  {name}' in text


def test_a_loop_that_does_other_work_is_no_opponent(words, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    from benchmarks import gpu

    bare_loop = gpu.bare_loop

    def blind(model, **kwargs):
        torch.nn.init.zeros_(model.neck.fc0.weight)
        return bare_loop(model, **kwargs)

    monkeypatch.setattr(gpu, 'bare_loop', blind)
    with pytest.raises(ValueError, match='they do not do the same work'):
        tool('benchmark', 'e2e', *words, '--rounds', '1', '--block', '1')


def test_a_training_beside_its_peers(tiny_tree, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    extra = 'bank_dataloader = dict(batch_size=8)\nval_dataloader = dict(batch_size=8)\n'
    cfg = write_config(tmp_path, 'two', 'simsiam_r18_cifar10', extra)
    words = [cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w', '--no-amp']
    out = tmp_path / 'e2e.json'
    tool('benchmark', 'e2e', *words, '--rounds', '1', '--block', '1', '--out', out)
    (row,) = rows(out)
    assert row['seconds']['mmpretrain'][0] > 0  # the one that is always installed


@pytest.mark.parametrize('name', ['simsiam_logo_r18_cifar10', 'moco_logo_r18_cifar10'])
def test_a_step_beside_its_parts(name, tiny_tree, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    extra = 'bank_dataloader = dict(batch_size=8)\nval_dataloader = dict(batch_size=8)\n'
    cfg = write_config(tmp_path, 'one', name, extra)
    words = [cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w', '--no-amp']
    out = tmp_path / 'step.json'
    tool('benchmark', 'step', *words, '--rounds', '2', '--out', out)
    (row,) = rows(out)
    names = ['network', 'objective', 'affinity', 'optimizer']
    names += ['teacher'] if 'moco' in name else []
    assert {*row['seconds']} == {'step', 'parts', *names}
    for number, total in enumerate(row['seconds']['parts']):
        assert total == pytest.approx(sum(row['seconds'][x][number] for x in names))


def test_neighbours_are_those_of_the_others(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    sizes = ['--bank', '300', '--dim', '8', '--k', '1', '5', '--queries', '40']
    tool('benchmark', 'knn', *sizes, '--rounds', '2', '--out', tmp_path / 'knn.json')
    found = rows(tmp_path / 'knn.json')
    assert [row['k'] for row in found] == [1, 5]
    for row in found:
        assert min(row['same'].values()) > 0.99
        assert {len(times) for times in row['seconds'].values()} == {2}


def test_how_time_grows(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'tools')
    sizes = ['--views', '2', '3', '--queue', '16', '32', '--bank', '50', '--names', '60']
    out = tmp_path / 'growth.json'
    tool('benchmark', 'growth', *sizes, '--batch', '4', '--rounds', '2', '--out', out)
    found = rows(out)
    kinds = [row['kind'] for row in found]
    assert kinds == ['views', 'views', 'queue', 'queue', 'bank', 'names']
    assert found[0]['per'] == found[2]['per'] == 1


def test_what_hooks_cost(words, capsys):
    tool('benchmark', 'hooks', *words, '--epochs', '1')
    assert 'OnlineProbeHook' in capsys.readouterr().out


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
