"""Tables say what runs logged, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from mmengine.config import Config

from mmlogo.engine.hooks import provenance
from mmlogo.evaluation import KNNMetric
from mmlogo.report import draw_comparison
from mmlogo.runs import config_file, read_run

spec = importlib.util.spec_from_file_location(
    'results_table', ROOT / '.dev' / 'results_table.py'
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

    def step(epoch: int, loss: float, speed: float, step: int) -> dict:
        return dict(
            lr=0.1, epoch=epoch, loss=loss, images_per_s=speed, memory_mb=100.2, step=step
        )

    def knn(epoch: int, value: float) -> dict:
        return {'step': epoch} | {f'knn/top1_k{k}': value + k / 1000 for k in (1, 20, 200)}

    # of an iteration whose number is an epoch's, too
    collapse = {'collapse/top1/global_to_global': 3.0, 'epoch': 1, 'step': 2}
    logs = {
        '1': [
            *(knn(0, 20), step(1, 3, 10, 1), step(2, 2, 30, 4), knn(2, 41.111), collapse),
            # killed, and done again by the second part
            *(step(3, 9, 900, 5), step(4, 9, 900, 7)),
        ],
        '2': [
            *(step(3, 1.5, 20, 5), step(4, 1.25, 20, 7), step(4, 0.75, 20, 8)),
            knn(4, 39.9),
        ],
    }
    for stamp, records in logs.items():
        file = folder / stamp / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text('\n'.join(map(json.dumps, records)))
    start = dict(event='start', command='train it', seed=3, hardware='a box')
    runs = [
        start | dict(commit='aaa'),
        dict(event='end', epoch=2, seconds=100.4, cpu_seconds=90.0),
        start | dict(commit='bbb'),
        dict(event='end', epoch=4, seconds=60.0, cpu_seconds=60.0),
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


@pytest.mark.parametrize('age', [-1, 1])
def test_the_config_is_the_one_that_the_command_names(work_dir, age):
    """Another run in the same folder left its own, older or newer."""
    other = work_dir / 'a_test_of_mine.py'
    other.write_text('train_cfg = dict(max_epochs=1)\n')
    now = (work_dir / 'mine.py').stat().st_mtime
    os.utime(other, (now + age, now + age))
    notes = work_dir / 'runs.jsonl'
    notes.write_text(notes.read_text().replace('train it', 'tools/train.py my/mine.py'))
    assert results_table.collect(work_dir)['config'] == 'mine.py'
    assert Path(read_run(work_dir).cfg.filename).name == 'mine.py'
    assert config_file(work_dir, 'train it') == (other if age > 0 else work_dir / 'mine.py')


def test_the_code_of_a_config_is_not_run(work_dir, tmp_path):
    sign = tmp_path / 'sign'
    (work_dir / 'mine.py').write_text(f'train_cfg = open({str(sign)!r}, "w")\n')
    for read in (
        lambda: results_table.collect(work_dir),
        lambda: results_table.config_of(work_dir, 'tools/train.py mine.py'),
    ):
        with pytest.raises(ValueError, match=r'mine\.py, line 1, is more than a name and'):
            read()
    assert not sign.exists()


def test_a_command_is_what_another_machine_would_type():
    command = 'python tools/train.py c.py --work-dir /a --resume auto --data-root /b --amp'
    assert (
        results_table.anywhere(command)
        == 'python tools/train.py c.py --data-root DIR --amp'
    )
    assert results_table.anywhere('x --resume --amp') == 'x --amp'
    for given in ('--pretrained /a/b/run/e.pth', '--pretrained=/a/b/run/e.pth'):
        kept = given.replace('/a/b/', '')  # whose checkpoint it was
        assert results_table.anywhere(f'x {given} --amp') == f'x {kept} --amp'


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
    for name, settings in (('one', {}), ('two', dict(temperature=0.1))):
        validate_with(work_dir, **settings)
        add = ('add', work_dir, tmp_path / 'small', '--name', name, '--title', name)
        run_tool(*add, monkeypatch=monkeypatch)
    with pytest.raises(ValueError, match=r'would compare 2 protocols: .* T 0\.07.* T 0\.1'):
        run_tool('write', page, monkeypatch=monkeypatch)


def change(config: Path, line: str) -> None:
    """Leave a config as a run would have left it whose config had this line at its end."""
    Config.fromstring(f'{config.read_text()}{line}\n', '.py').dump(config)


def validate_with(work_dir: Path, **settings) -> None:
    """Config and log of the run as KNNMetric with `settings` would have made them."""
    metric = KNNMetric(**settings)
    change(work_dir / 'mine.py', f'val_evaluator[0].update({settings})')
    for log in work_dir.glob('*/vis_data/scalars.json'):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        for row in rows:
            for scalar in [name for name in row if name.startswith('knn/')]:
                value, k = row.pop(scalar), int(scalar.partition('_k')[2])
                if k in metric.k:
                    row[f'{metric.prefix}/top1_k{k}'] = value
        write_lines(log, *rows)


@pytest.mark.parametrize(
    ('settings', 'logged'),
    [
        (dict(temperature=0.1), r"\['knn_t0\.1/top1_k1', .*/top1_k20', .*/top1_k200'\]"),
        (dict(k=(1, 20)), r"\['knn/top1_k1', 'knn/top1_k20'\]"),
    ],
)
def test_a_run_with_other_neighbours_is_no_row(settings, logged, work_dir, tmp_path):
    validate_with(work_dir, **settings)
    result = json.dumps(results_table.collect(work_dir) | dict(title='Mine'))
    (tmp_path / 'mine.json').write_text(result)
    with pytest.raises(ValueError, match=f'mine logged {logged}, and .* leave it out, or'):
        results_table.table(tmp_path, ['mine'])


def write_lines(path: Path, *records: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(record) + '\n' for record in records))


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    """What tools/test.py leaves of the run in `work_dir`."""
    folder = tmp_path / 'tested'
    command = 'python tools/test.py mine.py /a/mine/epoch_4.pth'
    start = dict(event='test', command=command, commit='abc', seed=3)
    write_lines(folder / 'runs.jsonl', start | dict(checkpoint='epoch_4.pth'))
    write_lines(
        folder / '20260101_000000' / '20260101_000000.json',
        {f'knn/top1_k{k}': 30.0 + k / 100 for k in (1, 20, 200)}
        | {'online/top1': 38.04, 'retrieval/top1': 52.0, 'time': 3.0},
    )
    (folder / 'mine.py').write_text(
        "load_from = '/a/mine/epoch_4.pth'\n"
        "test_evaluator = [dict(type='KNNMetric'), dict(type='LinearMetric')]\n"
        "bank_dataloader = dict(dataset=dict(type='Mine', split='train', per_class=5))\n"
        "test_dataloader = dict(dataset=dict(type='Mine', split='test'))\n"
    )
    return folder


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    """A fine-tuning on 1 % of the labels from the run in `work_dir`, at its end."""
    folder = tmp_path / 'tuned'
    name = 'semisup_tiny_1p.py'
    command = f'python tools/train.py b/{name} --pretrained /a/mine/epoch_4.pth'
    start = dict(event='start', command=command, commit='def', seed=7)
    write_lines(folder / 'runs.jsonl', start, dict(event='end'))
    write_lines(
        folder / '20260101_000000' / 'vis_data' / 'scalars.json',
        {'accuracy/top1': 30.0, 'accuracy/top5': 80.0, 'step': 5},
        {'accuracy/top1': 41.26, 'accuracy/top5': 89.0, 'step': 10},
    )
    (folder / name).write_text(
        'train_cfg = dict(max_epochs=10)\n'
        'train_dataloader = dict(dataset=dict('
        "dataset=dict(type='Mine', split='train'), listing='/a/mine_1p.txt'))\n"
        "val_dataloader = dict(dataset=dict(type='Mine', split='test'))\n"
    )
    return folder


@pytest.fixture
def result(work_dir: Path, tmp_path: Path, monkeypatch) -> Path:
    """The run in `work_dir`, added to a folder of results."""
    folder = tmp_path / 's'
    run_tool('add', work_dir, folder, '--title', 'Mine', monkeypatch=monkeypatch)
    return folder / 'mine.json'


def test_what_a_checkpoint_is_worth_is_attached(
    work_dir, tested, tuned, result, tmp_path, monkeypatch
):
    def attach(folder: Path, key: str) -> None:
        run_tool('attach', folder, result, '--as', key, monkeypatch=monkeypatch)

    attach(tuned, 'semisup_1p')
    attach(tested, 'test')
    page = tmp_path / 'page.md'
    page.write_text('<!-- probes s mine -->\n<!-- end -->\n')
    run_tool('write', page, monkeypatch=monkeypatch)
    assert page.read_text().splitlines()[1:-1] == [
        'k-NN of the backbone, exp weights, T 0.07; bank: Mine train, first 5 a class; '
        'queries: Mine test. 1 % labels: semisup_tiny_1p.py, 10 epochs on Mine train, '
        'mine_1p.txt; queries: Mine test. Accuracies in per cent.',
        '',
        '| method | epochs | k-NN 1 | k-NN 20 | k-NN 200 '
        '| online linear | 1 % labels | retrieval@1 | seed | commit |',
        '|---|---|---|---|---|---|---|---|---|---|',
        '| Mine | 4 | 30.0 | 30.2 | 32.0 | 38.0 | 41.3 | 52.0 | 3, 7 | abc, def |',
    ]
    # the run may be added again
    add = ('add', work_dir, result.parent, '--title', 'Mine')
    run_tool(*add, monkeypatch=monkeypatch)
    kept = json.loads(result.read_text())['probes']
    assert kept['test']['command'] == 'python tools/test.py mine.py mine/epoch_4.pth'
    assert kept['test']['commit'] == 'abc'
    for probe in kept.values():
        assert probe['checkpoint'] == 'mine/epoch_4.pth'
    other = json.loads(result.read_text())
    # other weights, whose worth nobody has measured
    other['evaluations']['4']['knn/top1_k20'] += 1
    result.write_text(json.dumps(other))
    run_tool(*add, monkeypatch=monkeypatch)
    assert 'probes' not in json.loads(result.read_text())
    attach(tested, 'test')
    for folder, key in ((work_dir, 'test'), (tested, 'linear')):
        with pytest.raises(FileNotFoundError, match=r'has no .* in runs\.jsonl'):
            attach(folder, key)
    notes = (tuned / 'runs.jsonl').read_text().splitlines()
    (tuned / 'runs.jsonl').write_text(notes[0] + '\n')
    with pytest.raises(ValueError, match='stopped before its end; resume it'):
        attach(tuned, 'semisup_1p')


def change_notes(folder: Path, old: str, new: str) -> None:
    notes = (folder / 'runs.jsonl').read_text()
    assert old in notes
    (folder / 'runs.jsonl').write_text(notes.replace(old, new))


def test_a_run_of_another_kind_is_not_attached(
    work_dir, tested, tuned, result, monkeypatch
):
    def attach(folder: Path, kind: str) -> None:
        run_tool('attach', folder, result, '--as', kind, monkeypatch=monkeypatch)

    before = result.read_text()
    for kind in ('semisup_10p', 'linear'):
        with pytest.raises(ValueError, match=f'ran semisup_tiny_1p.py, and {kind} of'):
            attach(tuned, kind)
    # of two runs in one folder, the newer one is named by its command
    (tuned / 'semisup_tiny_10p.py').write_text((tuned / 'semisup_tiny_1p.py').read_text())
    change_notes(tuned, '_1p.py', '_10p.py')
    with pytest.raises(ValueError, match=r'is of semisup_\*_1p\.py; give the work dir'):
        attach(tuned, 'semisup_1p')
    change_notes(tuned, '_10p.py', '_x.py')
    with pytest.raises(FileNotFoundError, match='has no config that its command names'):
        attach(tuned, 'semisup_1p')
    # a test of another method
    (tested / 'mine.py').rename(tested / 'theirs.py')
    change_notes(tested, 'mine.py', 'theirs.py')
    with pytest.raises(ValueError, match=r"ran theirs\.py, and test of 'Mine' is of mine"):
        attach(tested, 'test')
    assert result.read_text() == before


def test_what_began_with_random_weights_is_not_attached(tuned, result, monkeypatch):
    attach = ('attach', tuned, result, '--as', 'semisup_1p')
    first = json.loads((tuned / 'runs.jsonl').read_text().splitlines()[0])
    again = first | dict(command='python tools/train.py semisup_tiny_1p.py', epoch=2)
    # resumed, and the weights are not loaded again
    write_lines(tuned / 'runs.jsonl', first, again, dict(event='end'))
    run_tool(*attach, monkeypatch=monkeypatch)
    assert 'mine/epoch_4.pth' in result.read_text()
    # begun anew
    write_lines(tuned / 'runs.jsonl', first, again | dict(epoch=0), dict(event='end'))
    with pytest.raises(ValueError, match=r'random weights, .*; train with --pretrained'):
        run_tool(*attach, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ('kind', 'changed', 'told'),
    [
        ('test', "bank_dataloader['dataset']['per_class'] = 9", 'first 9 a class'),
        ('test', "test_evaluator[1]['epochs'] = 9", 'LinearMetric with epochs 9'),
        ('semisup_1p', "train_cfg['max_epochs'] = 9", '9 epochs on Mine train'),
        ('semisup_1p', "train_dataloader['dataset']['listing'] = 'x.txt'", 'x.txt'),
    ],
)
def test_probes_of_different_protocols_are_no_table(
    kind, changed, told, tested, tuned, result, monkeypatch
):
    other = result.with_name('other.json')
    other.write_text(result.read_text())
    folder = tested if kind == 'test' else tuned
    for target in (result, other):
        run_tool('attach', folder, target, '--as', kind, monkeypatch=monkeypatch)
        change(next(folder.glob('*.py')), changed)
    both = ['mine', 'other']
    with pytest.raises(ValueError, match=f'would compare 2 protocols: .*{told}'):
        results_table.probes(result.parent, both)
    for name in both:
        assert results_table.probes(result.parent, [name])


def test_what_an_old_probe_does_not_say(tested, tuned, result, monkeypatch):
    for folder, kind in ((tested, 'test'), (tuned, 'semisup_1p')):
        run_tool('attach', folder, result, '--as', kind, monkeypatch=monkeypatch)
        record = json.loads(result.read_text())
        for field in ('protocol', 'seed'):
            del record['probes'][kind][field]
        result.write_text(json.dumps(record))
        if kind == 'test':  # is that of the run
            text = results_table.probes(result.parent, ['mine'])
            assert text.startswith(record['protocol'] + '. Accuracies in per cent.\n\n')
            assert text.endswith('| 3 | abc |\n')
    with pytest.raises(ValueError, match='attach it --as semisup_1p again'):
        results_table.probes(result.parent, ['mine'])


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
