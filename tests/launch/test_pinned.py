"""Jobs run pinned, fail alone, and end when they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from helpers import ROOT

from mmlogo.launch.pinned import Job, check_cores, run_pinned, usable_cores

CORE = usable_cores()[-1]


def job(folder, name: str, code: str) -> Job:
    return Job(name, [sys.executable, '-c', code], folder / f'{name}.log')


def test_a_job_has_one_core_and_one_thread(tmp_path):
    code = (
        f'import os; print(getattr(os, "sched_getaffinity", lambda _: {{{CORE}}})(0)); '
        'print(os.environ["OMP_NUM_THREADS"])'
    )
    outcome = run_pinned([job(tmp_path, 'one', code)], [CORE], every=0.02)['one']
    assert outcome == (0, [f'{{{CORE}}}', '1'])


def test_a_failing_job_stops_no_other(tmp_path):
    jobs = [job(tmp_path, 'bad', 'print("before"); raise SystemExit("why")')]
    jobs += [job(tmp_path, 'good', 'print("done")')]
    ended = []
    outcomes = run_pinned(
        jobs, [CORE], ended=lambda job, outcome: ended.append(job.name), every=0.02
    )
    assert outcomes == dict(bad=(1, ['before', 'why']), good=(0, ['done']))
    assert ended == ['bad', 'good']


def test_no_core_has_two_jobs(tmp_path):
    running = []
    jobs = [job(tmp_path, name, 'import time; time.sleep(.1)') for name in 'abc']
    run_pinned(jobs, [CORE], lambda now: running.append(len(now)), every=0.01)
    assert max(running) == 1


PARENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have ignored it
from pathlib import Path
from mmlogo.launch.pinned import Job, run_pinned
folder = Path(sys.argv[1])
child = '''
import signal, sys, time
def end(number, frame):
    time.sleep(.5)
    print('saved', flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, end)
print('ready', flush=True)
time.sleep(60)
'''
jobs = [Job('one', [sys.executable, '-c', child], folder / 'log')]
try:
    run_pinned(jobs, [int(sys.argv[2])])
finally:
    with (folder / 'log').open('a') as log:
        log.write('parent')
"""


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_job_may_save_when_its_parent_is_told_to_end(tmp_path, number):
    if number == signal.SIGKILL and sys.platform != 'linux':
        pytest.skip('only Linux tells a child that its parent was killed')
    words = [sys.executable, '-c', PARENT, str(tmp_path), str(CORE)]
    parent = subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=ROOT)
    log = tmp_path / 'log'
    until(lambda: log.is_file() and 'ready' in log.read_text())
    parent.send_signal(number)
    code = parent.wait(20)
    if number == signal.SIGKILL:
        until(lambda: 'saved' in log.read_text())
    assert code != 0
    last = [] if number == signal.SIGKILL else ['parent']  # after its job
    assert log.read_text().split() == ['ready', 'saved', *last]


def until(true, seconds: float = 30.0) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds
        time.sleep(0.02)


@pytest.mark.parametrize('cores', [[], [CORE, CORE], [os.cpu_count() + 7]])
def test_cores_that_cannot_be_used_are_refused(cores):
    with pytest.raises(ValueError, match='give different ones of those that this process'):
        check_cores(cores)


def test_an_ignored_signal_stays_ignored(tmp_path):
    """So `nohup tools/compare.py ... &` lives on when its terminal is closed."""
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hang_up = f'import os, signal; os.kill({os.getpid()}, signal.SIGHUP)'
        outcome = run_pinned([job(tmp_path, 'one', hang_up)], usable_cores()[:1])
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
    assert outcome['one'].code == 0
