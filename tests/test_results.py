"""Tables say what runs logged, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mmlogo.engine import provenance
from mmlogo.visualization import draw_comparison

ROOT = Path(__file__).resolve().parent.parent
spec = importlib.util.spec_from_file_location(
    'results_table', ROOT / 'tools' / 'results_table.py'
)
results_table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(results_table)


def run_tool(*words: object, monkeypatch) -> int:
    monkeypatch.setattr(sys, 'argv', ['results_table.py', *map(str, words)])
    return results_table.main()


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """The logs of a run of 4 epochs with 2 steps, cut after the second and resumed."""
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'mine.py').write_text(
        'train_cfg = dict(max_epochs=4)\nglobal_batch_size = 8\n'
    )

    def step(epoch: int, loss: float, speed: float) -> dict:
        return dict(lr=0.1, epoch=epoch, loss=loss, images_per_s=speed, memory_mb=100.2)

    def knn(epoch: int, value: float) -> dict:
        return {'step': epoch} | {f'knn/top1_k{k}': value + k / 1000 for k in (1, 20, 200)}

    logs = {
        '1': [knn(0, 20), step(1, 3, 10), step(2, 2, 30), knn(2, 41.111)],
        '2': [step(3, 1.5, 20), step(4, 1.25, 20), step(4, 0.75, 20), knn(4, 39.9)],
    }
    for stamp, records in logs.items():
        file = folder / stamp / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(map(json.dumps, records)))
    start = dict(event='start', command='train it', seed=3, hardware='a box')
    runs = [
        start | dict(commit='aaa'),
        dict(event='end', seconds=100.4, cpu_seconds=90.0),
        start | dict(commit='bbb'),
        dict(event='end', seconds=60.0, cpu_seconds=60.0),
    ]
    (folder / 'runs.jsonl').write_text('\n'.join(map(json.dumps, runs)) + '\n')
    return folder


def test_a_run_is_collected_over_its_resumes(work_dir):
    got = results_table.collect(work_dir)
    assert got['evaluations'][2]['knn/top1_k20'] == 41.13
    assert got['final'] == {'loss': 1.0}  # mean over the last epoch
    assert (got['seconds'], got['cpu_seconds'], got['images_per_s']) == (160, 150, 20)
    assert got['commit'] == ['aaa', 'bbb']
    assert (got['command'], got['seed'], got['epochs'], got['batch']) == (
        'train it',
        3,
        4,
        8,
    )


def test_a_run_that_stopped_is_no_result(work_dir):
    (work_dir / '2' / 'vis_data' / 'scalars.json').unlink()
    with pytest.raises(ValueError, match='stopped before epoch 4; resume it'):
        results_table.collect(work_dir)
    (work_dir / 'runs.jsonl').unlink()
    with pytest.raises(FileNotFoundError, match=r'has no runs\.jsonl'):
        results_table.collect(work_dir)


def test_a_table_is_written_and_a_changed_number_is_found(work_dir, tmp_path, monkeypatch):
    results, page = tmp_path / 'docs' / 'small', tmp_path / 'docs' / 'page.md'
    add = ('add', work_dir, results, '--title', 'Mine')
    assert run_tool(*add, monkeypatch=monkeypatch) == 0
    page.write_text(
        'Before.\n<!-- results small mine -->\n<!-- end -->\nAfter.\n'
        '<!-- losses small mine -->\n<!-- end -->\n'
    )
    assert run_tool('check', page, monkeypatch=monkeypatch) == 1
    assert run_tool('write', page, monkeypatch=monkeypatch) == 0
    text = page.read_text()
    assert '| Mine | 4 | 39.9 | 39.9 | 40.1 | 41.1 (epoch 2) | 2 |' in text
    assert text.startswith('Before.\n<!--')
    assert '<!-- end -->\nAfter.\n' in text
    assert '| method | epochs | `loss` |\n|---|---|---|\n| Mine | 4 | 1 |\n' in text
    assert run_tool('check', page, monkeypatch=monkeypatch) == 0
    page.write_text(text.replace('39.9', '49.9'))
    assert run_tool('check', page, monkeypatch=monkeypatch) == 1


def test_our_own_pages_say_what_was_logged(monkeypatch, capsys):
    pages = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
    found = [path for path in pages if '<!-- results' in path.read_text()]
    assert found
    assert run_tool('check', *found, monkeypatch=monkeypatch) == 0, capsys.readouterr().out


def test_runs_are_compared_in_one_picture(work_dir, tmp_path, monkeypatch):
    run_tool('add', work_dir, tmp_path, '--title', 'Mine', monkeypatch=monkeypatch)
    result = json.loads((tmp_path / 'mine.json').read_text())
    figure = draw_comparison([result], tmp_path / 'curves.png')
    left, right = figure.axes
    assert left.lines[0].get_xydata()[:, 0].tolist() == [0, 2, 4]
    assert left.lines[0].get_xydata()[:, 1].tolist() == [20.02, 41.13, 39.92]
    assert right.lines[0].get_xydata()[:, 0].tolist() == [0, 1.25, 2.5]
    assert (tmp_path / 'curves.png').stat().st_size > 1000


def test_the_commit_is_that_of_our_own_checkout(tmp_path, monkeypatch):
    found = provenance.commit()
    assert found is None or len(found.rstrip('+')) >= 7
    package = tmp_path / 'mmlogo'
    package.mkdir()
    monkeypatch.setattr(provenance.mmlogo, '__file__', str(package / '__init__.py'))
    assert provenance.commit() is None
