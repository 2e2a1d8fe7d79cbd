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
        "val_evaluator = [dict(type='KNNMetric', k=20)]\n"
        "bank_dataloader = dict(dataset=dict(type='Mine', split='train', per_class=5))\n"
        "val_dataloader = dict(dataset=dict(type='Mine', split='test'))\n"
    )

    def step(epoch: int, loss: float, speed: float) -> dict:
        return dict(lr=0.1, epoch=epoch, loss=loss, images_per_s=speed, memory_mb=100.2)

    def knn(epoch: int, value: float) -> dict:
        return {'step': epoch} | {f'knn/top1_k{k}': value + k / 1000 for k in (1, 20, 200)}

    # of an iteration whose number is an epoch's, too
    collapse = {'collapse/top1/global_to_global': 3.0, 'epoch': 1, 'step': 2}
    logs = {
        '1': [knn(0, 20), step(1, 3, 10), step(2, 2, 30), knn(2, 41.111), collapse],
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


def test_a_command_is_what_another_machine_would_type():
    command = 'python tools/train.py c.py --work-dir /a --resume auto --data-root /b --amp'
    assert (
        results_table.anywhere(command)
        == 'python tools/train.py c.py --data-root DIR --amp'
    )
    assert results_table.anywhere('x --resume --amp') == 'x --amp'


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
    assert (
        '| Mine | 4 | 39.9 | 39.9 | 40.1 | 41.1 (epoch 2) | 3 | 2 | 100 | aaa, bbb |'
        in (text)
    )
    assert (
        'k-NN of the backbone, exp weights, T 0.07; bank: Mine train, first 5 a class; '
        'queries: Mine test. Top-1 at the last epoch, per cent.\n'
    ) in text
    assert text.startswith('Before.\n<!--')
    assert '<!-- end -->\nAfter.\n' in text
    assert '| method | epochs | `loss` |\n|---|---|---|\n| Mine | 4 | 1 |\n' in text
    assert run_tool('check', page, monkeypatch=monkeypatch) == 0
    page.write_text(text.replace('39.9', '49.9'))
    assert run_tool('check', page, monkeypatch=monkeypatch) == 1


def test_rows_of_different_protocols_are_no_table(work_dir, tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    page.write_text('<!-- results small one two -->\n<!-- end -->\n')
    for name, change in (
        ('one', ''),
        ('two', 'val_evaluator[0].update(temperature=0.1)\n'),
    ):
        with (work_dir / 'mine.py').open('a') as file:
            file.write(change)
        add = ('add', work_dir, tmp_path / 'small', '--name', name, '--title', name)
        run_tool(*add, monkeypatch=monkeypatch)
    with pytest.raises(ValueError, match=r'would compare 2 protocols: .* T 0\.07.* T 0\.1'):
        run_tool('write', page, monkeypatch=monkeypatch)


def write_lines(path: Path, *records: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))


def test_what_a_checkpoint_is_worth_is_attached(work_dir, tmp_path, monkeypatch):
    tested, trained, page = (tmp_path / name for name in ('t', 'l', 'page.md'))
    start = dict(command='python tools/test.py c.py /a/epoch_4.pth', commit='abc')
    write_lines(tested / 'runs.jsonl', start | dict(event='test', checkpoint='epoch_4.pth'))
    write_lines(
        tested / '20260101_000000' / '20260101_000000.json',
        {f'knn/top1_k{k}': 30.0 + k / 100 for k in (1, 20, 200)}
        | {'online/top1': 38.04, 'retrieval/top1': 52.0, 'time': 3.0},
    )
    write_lines(
        trained / '20260101_000000' / 'vis_data' / 'scalars.json',
        {'accuracy/top1': 30.0, 'accuracy/top5': 80.0, 'step': 5},
        {'accuracy/top1': 41.26, 'accuracy/top5': 89.0, 'step': 10},
    )
    write_lines(trained / 'runs.jsonl', start | dict(event='start'))
    run_tool('add', work_dir, tmp_path / 's', '--title', 'Mine', monkeypatch=monkeypatch)
    result = tmp_path / 's' / 'mine.json'

    def attach(folder: Path, key: str) -> None:
        run_tool('attach', folder, result, '--as', key, monkeypatch=monkeypatch)

    with pytest.raises(ValueError, match='stopped before its end; resume it'):
        attach(trained, 'semisup_1p')
    write_lines(trained / 'runs.jsonl', start | dict(event='start'), dict(event='end'))
    attach(trained, 'semisup_1p')
    attach(tested, 'test')
    page.write_text('<!-- probes s mine -->\n<!-- end -->\n')
    run_tool('write', page, monkeypatch=monkeypatch)
    assert page.read_text().splitlines()[1:4] == [
        '| method | epochs | k-NN 1 | k-NN 20 | k-NN 200 '
        '| online linear | 1 % labels | retrieval@1 |',
        '|---|---|---|---|---|---|---|---|',
        '| Mine | 4 | 30.0 | 30.2 | 32.0 | 38.0 | 41.3 | 52.0 |',
    ]
    # the run may be added again
    run_tool('add', work_dir, tmp_path / 's', '--title', 'Mine', monkeypatch=monkeypatch)
    kept = json.loads(result.read_text())['probes']['test']
    assert kept['command'] == 'python tools/test.py c.py epoch_4.pth'
    assert (kept['commit'], kept['checkpoint']) == ('abc', 'epoch_4.pth')
    for folder, key in ((work_dir, 'test'), (tested, 'linear')):
        with pytest.raises(FileNotFoundError, match=r'has no .* in runs\.jsonl'):
            attach(folder, key)


def test_our_own_pages_say_what_was_logged(monkeypatch, capsys):
    pages = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))]
    found = [path for path in pages if '<!-- end -->' in path.read_text()]
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
    with pytest.raises(ValueError, match='7 runs in one picture, and it has colours for 6'):
        draw_comparison([result] * 7, tmp_path / 'curves.png')


def test_the_commit_is_that_of_our_own_checkout(tmp_path, monkeypatch):
    found = provenance.commit()
    assert found is None or len(found.rstrip('+')) >= 7
    package = tmp_path / 'mmlogo'
    package.mkdir()
    monkeypatch.setattr(provenance.mmlogo, '__file__', str(package / '__init__.py'))
    assert provenance.commit() is None
