"""`tools/compare.py`: what is missing is trained, and the table is of what was logged."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, ended, scalars, started, tool, write_config, write_run
from mmengine.config import Config

import mmlogo.launch.pinned
from mmlogo.launch import holder_of
from mmlogo.launch.pinned import Job, Outcome
from mmlogo.launch.work_dir import _LOCK

K5 = ('--metric', 'knn/top1_k5')
EPOCHS = 8


def results(folder: Path) -> dict:
    return json.loads((folder / 'compare.json').read_text())


def until(true, seconds: float = 60.0) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)


@pytest.fixture
def configs(tmp_path) -> list[str]:
    """Two arms that train, and one that fails in its first step."""
    more = f'train_cfg.update(max_epochs={EPOCHS})\n'
    one = write_config(tmp_path, 'one', 'simsiam_r18_cifar10', more)
    other = write_config(tmp_path, 'other', 'simsiam_logo_r18_cifar10', more)
    bad = write_config(tmp_path, 'bad', 'moco_r18_cifar10', more)
    return [str(path) for path in (one, other, bad)]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='a killed parent ends its children')
def test_killed_and_resumed_the_table_is_that_of_an_undisturbed_comparison(
    configs, tmp_path, tiny_tree, capsys
):
    for config in configs[:2]:
        folder = tmp_path / 'straight' / Path(config).stem / 'seed_3'
        options = ['--cfg-options', 'randomness.seed=3']
        tool('train', config, *options, '--data-root', tiny_tree, '--work-dir', folder)
    straight = [tmp_path / 'straight' / name for name in ('one', 'other')]
    assert tool('compare', *straight, *K5, '--out', tmp_path / 'straight') == 0

    out = tmp_path / 'out'
    shutil.copytree(straight[1], out / 'other')  # it is there, so it is not trained
    words = [*configs, '--options', 'bad', 'train_dataloader.batch_size=7', '--seeds', '3']
    words += ['--data-root', str(tiny_tree), '--work-dir', str(out), *K5]
    words += ['--cores', str(max(os.sched_getaffinity(0)))]
    command = [sys.executable, str(ROOT / 'tools' / 'compare.py'), *words]
    run = out / 'one' / 'seed_3'
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until(lambda: (run / 'epoch_2.pth').is_file())
    process.kill()
    process.wait()
    until(lambda: holder_of(run) is None)  # it was told to end, and has saved
    notes = [json.loads(line) for line in (run / 'runs.jsonl').read_text().splitlines()]
    assert [note['event'] for note in notes] == ['start', 'interrupted']

    capsys.readouterr()
    assert tool('compare', *words) == 1  # an arm failed
    printed = capsys.readouterr().out
    assert 'bad/seed_3: it failed: ' in printed
    assert 'ValueError: split BN: a batch of 7 cannot be divided into 2 parts' in printed
    assert '1 of 3 runs done; one/seed_3 epoch' in printed
    assert '2 of 3 runs done; bad/seed_3 epoch' in printed
    found, wanted = results(out), results(tmp_path / 'straight')
    assert found['metrics']['knn/top1_k5'][:2] == wanted['metrics']['knn/top1_k5']
    for name in ('one', 'other'):
        for fact in ('seeds', 'batch', 'rate', 'epochs', 'updates', 'views'):
            assert found['arms'][name][fact] == wanted['arms'][name][fact], (name, fact)
    assert found['arms']['one']['updates'] == [3 * EPOCHS]
    assert found['arms']['bad']['seeds'] == []
    assert any('bad lacks seed 3: it failed' in note for note in found['notes'])
    assert (out / 'compare.png').stat().st_size > 0

    # nothing is trained again, and another option is no part of these runs
    good = [word for word in words if 'bad' not in word]
    good = good[: good.index('--options')] + good[good.index('--seeds') :]
    assert tool('compare', *good) == 0
    assert len((run / 'runs.jsonl').read_text().splitlines()) == 4
    changed = [*good, '--options', 'one', 'optim_wrapper.optimizer.lr=0.5']
    assert tool('compare', *changed) == 1
    assert (
        'it differs in optim_wrapper.optimizer.lr (0.06 and 0.5)' in capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_budget_gives_equal_updates_and_the_rates_of_the_batches(
    tmp_path, tiny_tree, monkeypatch, capsys
):
    """With costs that are made up: an image of the other arm costs twice as much."""
    text = 'auto_scale_lr = dict(base_batch_size=8)\n'
    one = write_config(tmp_path, 'one', 'simsiam_r18_cifar10', text)
    other = write_config(tmp_path, 'other', 'simsiam_logo_r18_cifar10', text)
    ran = []

    def run(jobs, cores, *args, **kwargs):
        for job in jobs:
            ran.append(job.name)
            words = list(job.command)
            if 'mmlogo.launch.cost' in words:
                size = next(
                    w for w in words if w.startswith('train_dataloader.batch_size=')
                )
                batch = int(size.partition('=')[2])
                seconds = batch * (0.2 if 'other' in job.name else 0.1)
                cost = dict(batch=batch, seconds=seconds, evaluation=1.0, images=24)
                Path(words[4]).parent.mkdir(parents=True, exist_ok=True)
                Path(words[4]).write_text(json.dumps(cost))
            else:
                tool('train', *words[2:])
        return {job.name: Outcome(0, []) for job in jobs}

    monkeypatch.setattr(mmlogo.launch.pinned, 'run_pinned', run)
    words = [one, other, '--seeds', 0, '--data-root', tiny_tree, *K5]
    words += ['--work-dir', tmp_path / 'out', '--budget', 0.131]
    assert tool('compare', *words) == 0
    printed = capsys.readouterr().out
    found = results(tmp_path / 'out')
    # 7.86 s less 3 evaluations are 6.1 steps of .8 s: 2 epochs of 3 steps, and 1 of 6
    arms = found['arms']
    assert (arms['one']['batch'], arms['other']['batch']) == ([8], [4])
    assert (arms['one']['updates'], arms['other']['updates']) == ([6], [6])
    assert (arms['one']['epochs'], arms['other']['epochs']) == ([2], [1])
    assert arms['one']['rate'] == [0.06]
    assert arms['other']['rate'] == [0.03]
    assert (arms['one']['views'], arms['other']['views']) == ([96], [96])
    assert found['budget']['arms']['other']['rate'] == 0.03
    assert {'one, batch 8', 'one, batch 4', 'other, batch 8', 'other, batch 4'} < set(ran)
    assert 'to measure on a few steps: other, batch 4' in printed
    logged = scalars(tmp_path / 'out' / 'other' / 'seed_0')
    first = next(row for row in logged if 'lr' in row)
    assert first['lr'] == 0.03
    ran.clear()
    assert tool('compare', *words) == 0
    assert ran == []  # neither measured nor trained again


@pytest.mark.slow
def test_the_cost_of_a_step_is_measured(tmp_path, tiny_tree):
    from mmengine.config import Config

    from mmlogo import launch
    from mmlogo.config import load_config
    from mmlogo.launch.cost import measure

    cfg = load_config(str(write_config(tmp_path, 'one', 'simsiam_logo_r18_cifar10')))
    assert isinstance(cfg, Config)
    launch.set_data_root(cfg, str(tiny_tree))
    cfg.work_dir = str(tmp_path / 'w')
    launch.divide_global_batch(cfg)
    cost = measure(cfg, steps=4, warm=1)
    assert (cost['batch'], cost['images']) == (8, 24)
    assert 0 < cost['seconds'] < 10
    assert 0 < cost['evaluation'] < 60
    assert not list((tmp_path / 'w').glob('*.pth'))


@pytest.fixture
def runs(tmp_path, monkeypatch) -> Path:
    """Finished runs of two arms with seeds 0 and 1, and one that is not finished."""
    for name, values in dict(a=(50.0, 51.0), b=(52.0, 54.0)).items():
        for seed, value in enumerate(values):
            write_run(tmp_path / f'{name}_s{seed}', seed, [20, 30, value])
    notes = [started(2), ended(10, 9.0, 'interrupted')]
    write_run(tmp_path / 'part' / 'b_s2', 2, [20, 30, 40], notes)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_arms_of_finished_work_dirs(runs, capsys):
    words = ('a=a_s*', 'b=b_s0', 'b=b_s1', 'b=part/b_s2')
    assert tool('compare', *words, '--out', 'out', '--cores', min(cores())) == 0
    found = results(runs / 'out')
    first, second = found['metrics']['knn/top1_k20']
    assert (first['values'], second['values']) == (
        {'0': 50.0, '1': 51.0},
        {'0': 52.0, '1': 54.0},
    )
    assert second['difference']['mean'] == 2.5
    assert 'b lacks seed 2: it stopped at epoch 4; resume it' in capsys.readouterr().out
    assert '| b | 52.00 | 54.00 | missing |' in (runs / 'out' / 'compare.md').read_text()
    assert tool('compare', 'a_s0', 'b_s0', '--out', 'out') == 0  # each an arm
    assert list(results(runs / 'out')['arms']) == ['a_s0', 'b_s0']


def test_seeds_choose_among_finished_runs(runs):
    words = ('a=a_s*', 'b=b_s*', '--seeds', 1, 7, '--out', 'out')
    assert tool('compare', *words) == 0
    found = results(runs / 'out')
    assert found['metrics']['knn/top1_k20'][1]['difference']['pairs'] == 1
    assert 'a lacks seed 7: no work dir has it' in found['notes']


def cores() -> set[int]:
    return getattr(os, 'sched_getaffinity', lambda _: {0})(0)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['a_s0', 'none.py'], "there is no config 'none.py'"),
        (['a=a_s0', 'b=c_s*'], 'no folder fits c_s*; give work dirs that are there'),
        (['.'], 'no scalars in .: expected'),
        (['a=a_s0', 'a=mmlogo::quickstart.py'], 'two arms are called a; give each a name'),
        (['mmlogo::quickstart.py', 'mmlogo::quickstart.py'], 'two arms are called quicks'),
        (['a/b=a_s0'], "an arm is called 'a/b', and its name is that of a folder"),
        (['a=a_s0', 'a=a_s0'], 'both have seed 0; give one of them, or two arms'),
        (['mmlogo::quickstart.py'], 'nothing says which seeds to train; give --seeds'),
        (
            ['a_s0', '--options', 'a_s0', 'x=1'],
            '--options a_s0 ..., but no config has this',
        ),
        (['a=mmlogo::quickstart.py', '--options', 'a', 'x'], 'give NAME KEY=VALUE'),
        (['a=a_s*', '--seeds', '1', '1'], 'give every seed once'),
        (['a=a_s*', '--cores', '9999'], 'give different ones of those that this process'),
        (['a=a_s*', '--budget', '-3'], '--budget -3: give CPU minutes above 0'),
        (['a=a_s*', '--metric', 'knn/top1_k3'], 'give one of these with --metric'),
        (['a=part/b_s2'], 'no arm has a run that reached its end, so there is no table'),
        (
            [
                *('a=mmlogo::quickstart.py', '--seeds', '0'),
                *('--options', 'a', 'train_cfg.max_epoch=3'),
            ],
            'did you mean',
        ),
        (
            ['a=mmlogo::quickstart.py', '--seeds', '0', '--budget', '3'],
            'needs auto_scale_lr = dict(base_batch_size=...)',
        ),
    ],
)
def test_what_is_wrong_with_an_argument_is_said(runs, words, message, capsys):
    assert tool('compare', *words, '--out', 'out') == 1
    printed = capsys.readouterr().err
    assert printed.startswith('compare: ')
    assert message in printed
    assert not (runs / 'out').exists()


def test_a_run_without_a_seed_is_refused(runs, capsys):
    notes = [
        {k: v for k, v in note.items() if k != 'seed'}
        for note in (started(0), ended(20, 1.0))
    ]
    write_run(runs / 'x', 0, [1, 2, 3], notes)
    assert tool('compare', 'x') == 1
    assert 'x does not say its seed' in capsys.readouterr().err


def test_a_work_dir_in_use_has_a_holder(tmp_path):
    assert holder_of(tmp_path) is None
    (tmp_path / _LOCK).write_text('process 7 on a host\n')
    assert holder_of(tmp_path) is None
    code = (
        'import fcntl, sys; f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX); '
        'print("held", flush=True); sys.stdin.read()'
    )
    words = [sys.executable, '-c', code, str(tmp_path / _LOCK)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'held\n'
        assert holder_of(tmp_path) == 'process 7 on a host'
        process.send_signal(signal.SIGTERM)
    assert holder_of(tmp_path) is None


def load_compare():
    spec = importlib.util.spec_from_file_location('compare', ROOT / 'tools' / 'compare.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_brackets_in_a_log_are_no_markup(tmp_path, capsys):
    """rich would raise at `[/data]`, which ends all other trainings, and drop `[model]`."""
    compare = load_compare()
    progress = compare.Progress({}, {}, ['a'], None, compare.Console(width=80))
    last = ['in [model]', 'no data in [/data]']
    progress.ended(Job('a', [], tmp_path / 'log'), Outcome(1, last))
    printed = capsys.readouterr().out
    assert printed.count('no data in [/data]') == 2
    assert 'in [model]' in printed


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(train_dataloader=dict(num_workers=2)), 'a has 2 workers, and --budget'),
        (dict(optim_wrapper=dict(accumulative_counts=2)), 'a accumulates gradients'),
    ],
)
def test_a_budget_refuses_what_it_does_not_count(options, text):
    plain = dict(train_dataloader=dict(num_workers=0), optim_wrapper=dict())
    compare = load_compare()
    compare.refuse_what_no_budget_counts('a', Config(plain))
    with pytest.raises(ValueError, match=text):
        compare.refuse_what_no_budget_counts('a', Config(plain | options))
