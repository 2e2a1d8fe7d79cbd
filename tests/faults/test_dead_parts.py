"""Workers, processes and launchers that die, sleep or stop: an error, and no long wait."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT
from lab import Lab, at_iteration, interrupted, outcome, signals_at, wait
from mmengine.runner import Runner

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('dead')


def children() -> list[int]:
    me = os.getpid()
    text = Path(f'/proc/{me}/task/{me}/children').read_text()
    return [int(pid) for pid in text.split()]


def since(file: Path) -> float:
    return time.time() - float(file.read_text())


@pytest.mark.parametrize(
    ('number', 'most', 'says'),
    [
        (signal.SIGKILL, 12, r'killed by signal'),
        (signal.SIGSTOP, 12, 'is stopped (state T)'),
    ],
)
def test_a_worker_that_dies_or_stops_ends_the_training(
    number, most, says, folder, tmp_path
):
    lab = Lab(folder, workers=1)
    mark = tmp_path / 'mark'

    def disturb() -> None:
        def act(runner: Runner) -> None:
            os.kill(children()[0], number)
            mark.write_text(str(time.time()))

        at_iteration(7, act)

    (pid,) = lab.train(tmp_path / 'w', first=disturb)
    assert wait(pid) == 1
    assert since(mark) < most
    log = (tmp_path / 'w' / 'log_0.txt').read_text()
    assert 'LoaderError: ' in log
    assert says in log
    assert '--resume' in log
    assert lab.finish(tmp_path / 'w', '--resume') == [0]
    assert lab.undisturbed().differs(outcome(tmp_path / 'w')) == []


def test_a_worker_that_sleeps_ends_the_training(folder, tmp_path):
    lab = Lab(folder / 'sleep', text='train_cfg["patience"] = 2.0\n')
    mark = tmp_path / 'mark'

    def disturb() -> None:
        from mmlogo.datasets import InMemoryCIFAR10

        read = InMemoryCIFAR10.__getitems__

        def slow(self, indices):
            if indices[0].epoch == 1:
                mark.write_text(str(time.time()))
                time.sleep(60)
            return read(self, indices)

        InMemoryCIFAR10.__getitems__ = slow

    (pid,) = lab.train(tmp_path / 'w', first=disturb)
    assert wait(pid) == 1
    assert since(mark) < 6
    log = (tmp_path / 'w' / 'log_0.txt').read_text()
    assert 'train_cfg.patience is 2 s. A worker hangs' in log


def test_no_shared_memory_is_an_error_at_once(folder, tmp_path):
    """In a mount namespace of its own the training has a /dev/shm of 64 KiB."""
    small = ['mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/dev/shm']
    if (
        shutil.which('unshare') is None
        or subprocess.run(['unshare', '-m', *small], capture_output=True).returncode
    ):
        pytest.skip('no mounts of our own here; run as root to test a full /dev/shm')
    lab = Lab(folder, workers=1, text='train_cfg.update(patience=60)\n')
    script = f'{" ".join(small)} && exec "$@"'
    words = [lab.config, '--data-root', lab.tree, '--work-dir', tmp_path / 'w']
    # so that a batch has more than 64 KiB
    words += ['--cfg-options', 'train_dataloader.batch_size=32']
    began = time.monotonic()
    train = [sys.executable, str(ROOT / 'tools' / 'train.py'), *map(str, words)]
    done = subprocess.run(
        ['unshare', '-m', 'bash', '-c', script, 'bash', *train],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'a worker has no room in shared memory' in done.stderr
    assert '--shm-size=8g' in done.stderr
    assert time.monotonic() - began < 50  # most of it are the imports


@pytest.mark.parametrize('rank', [0, 1])
@pytest.mark.parametrize(
    ('number', 'most', 'says'),
    [
        (signal.SIGKILL, 5, 'Connection closed by peer'),
        (signal.SIGSTOP, 9, 'has been silent for'),  # heartbeat=4
    ],
)
def test_a_process_that_dies_or_stops_ends_the_others(
    rank, number, most, says, folder, tmp_path
):
    lab = Lab(folder, ranks=2)
    mark = tmp_path / 'mark'

    def disturb() -> None:
        def act(runner: Runner) -> None:
            if os.environ['RANK'] == str(rank):
                mark.write_text(str(time.time()))
                os.kill(os.getpid(), number)

        at_iteration(7, act)

    pids = lab.train(tmp_path / 'w', first=disturb)
    try:
        assert wait(pids[1 - rank]) == 1
        assert since(mark) < most
    finally:
        os.kill(pids[rank], signal.SIGKILL)
        os.waitpid(pids[rank], 0)
    log = (tmp_path / 'w' / f'log_{1 - rank}.txt').read_text()
    assert says in log or 'the process of rank 0 has ended' in log or 'reset' in log
    assert lab.finish(tmp_path / 'w', '--resume') == [0, 0]
    assert lab.undisturbed().differs(outcome(tmp_path / 'w')) == []


def test_a_second_signal_ends_at_once(folder, tmp_path):
    lab = Lab(folder)
    wrong = interrupted(lab, tmp_path / 'w', ['SIGTERM', 'SIGINT'], 7, pause=2.5)
    assert wrong[0].startswith(f'exit codes {[128 + signal.SIGINT]}')
    assert not list((tmp_path / 'w').glob('iter_7.pth'))


@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGKILL, -9), (signal.SIGUSR1, 75), (signal.SIGTERM, 75)]
)
def test_the_launcher_takes_its_processes_with_it(number, code, folder, tmp_path):
    """And they have saved: a killed launcher is a signal to them."""
    lab = Lab(folder, ranks=2)
    words = ('--data-root', lab.tree, '--work-dir', tmp_path / 'w')
    run = subprocess.Popen(
        [ROOT / 'tools' / 'dist_train.sh', lab.config, '2', *map(str, words)],
        env=os.environ | dict(PYTHON=sys.executable, PYTHONPATH=str(ROOT)),
        stdout=(tmp_path / 'log').open('w'),
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 100
    while 'Saving checkpoint at 2 iter' not in (tmp_path / 'log').read_text():
        assert time.monotonic() < end, (tmp_path / 'log').read_text()
        time.sleep(0.1)
    run.send_signal(number)
    assert run.wait(60) == code, (tmp_path / 'log').read_text()
    end = time.monotonic() + 15
    while f'--work-dir {tmp_path / "w"}' in commands():
        assert time.monotonic() < end, commands()
        time.sleep(0.1)
    log = (tmp_path / 'log').read_text()
    assert 'is saved; go on with --resume' in log
    events = [line for line in (tmp_path / 'w' / 'runs.jsonl').read_text().splitlines()]
    assert '"event": "interrupted"' in events[-1]
    assert lab.finish(tmp_path / 'w', '--resume') == [0, 0]
    assert lab.undisturbed().differs(outcome(tmp_path / 'w')) == []


def commands() -> str:
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            found.append(path.read_text().replace('\0', ' '))
        except OSError:
            continue
    return '\n'.join(found)


def test_a_port_in_use_is_said(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(('', 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run(
            [ROOT / 'tools' / 'dist_train.sh', 'none.py', '2'],
            env=os.environ | dict(PYTHON=sys.executable, PORT=str(port)),
            capture_output=True,
            text=True,
        )
    assert run.returncode == 1
    assert f'port {port} of this machine is in use' in run.stderr
    assert 'leave PORT out' in run.stderr


def test_the_launcher_knows_what_its_processes_know():
    from mmlogo.engine import interrupts

    spec = (ROOT / 'tools' / 'processes.py').read_text()
    assert f'EXIT_CODE = {interrupts.EXIT_CODE}\n' in spec
    assert f'SAVED = {interrupts.SAVED!r}\n' in spec


def test_a_signal_and_its_echo(folder, tmp_path):
    lab = Lab(folder, 'moco_logo_r18_cifar10', workers=2)
    step = random.Random(1).randint(2, 14)
    assert interrupted(lab, tmp_path / 'w', ['SIGINT', 'SIGINT'], step, pause=0.1) == []


@pytest.mark.parametrize(('rate', 'code'), [('0.06', 0), ('1e25', 1)])
def test_a_training_with_workers_ends_when_it_is_done(rate, code, folder, tmp_path):
    """Or when it has failed: workers that ignore signals do not keep it."""
    lab = Lab(folder, 'moco_logo_r18_cifar10', workers=2)
    words = (lab.config, '--data-root', lab.tree, '--work-dir', tmp_path / 'w')
    options = ('--cfg-options', f'optim_wrapper.optimizer.lr={rate}')
    program = ROOT / 'tools' / 'train.py'
    run = subprocess.run(
        [sys.executable, program, *map(str, words), *options],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert run.returncode == code, run.stderr[-2000:]


def test_of_interruptions_only_the_newest_checkpoint_stays(tmp_path):
    """With checkpoints by epochs, and none of an interruption at the end."""
    lab = Lab(tmp_path, text="default_hooks['checkpoint'] = dict(interval=1)\n")
    work_dir, want = tmp_path / 'w', lab.undisturbed()
    for step, names in ((2, ['iter_2']), (4, ['iter_4']), (7, ['epoch_1', 'iter_7'])):
        words = ('--resume', 'auto')
        assert lab.finish(work_dir, *words, first=signals_at(step, ['SIGTERM'])) == [75]
        assert sorted(path.stem for path in work_dir.glob('*.pth')) == names
    assert lab.finish(work_dir, '--resume') == [0]
    assert not list(work_dir.glob('iter_*'))
    assert want.differs(outcome(work_dir)) == []
