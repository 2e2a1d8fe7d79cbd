"""Runs commands in processes of one thread, each pinned to a core of its own."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Before fork: a child may not import. Only Linux has prctl.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == 'linux' else None
_PR_SET_PDEATHSIG = 1
_ONE_THREAD = dict.fromkeys(
    ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1'
)
_ENDS = (signal.SIGTERM, signal.SIGHUP)


class Job(NamedTuple):
    """A command. What it prints is appended to `log`."""

    name: str
    command: Sequence[str]
    log: Path


class Outcome(NamedTuple):
    """How a job ended."""

    code: int  # the exit status; minus the signal's number if a signal ended it
    last: list[str]  # the last lines of its log


def usable_cores() -> list[int]:
    """Return the cores that this process may use. Where nobody can say, one of them."""
    if hasattr(os, 'sched_getaffinity'):
        return sorted(os.sched_getaffinity(0))
    return [0]


def check_cores(cores: Sequence[int]) -> None:
    """Refuse cores that this process may not use.

    Raises:
        ValueError: If there is no core, one is given twice, or may not be used.
    """
    allowed = usable_cores()
    wrong = [core for core in cores if core not in allowed]
    if not cores or wrong or len(set(cores)) < len(cores):
        raise ValueError(
            f'--cores {" ".join(map(str, cores))}: give different ones of those that this '
            f'process may use, {" ".join(map(str, allowed))}'
        )


def run_pinned(
    jobs: Iterable[Job],
    cores: Sequence[int],
    tick: Callable[[Mapping[str, float]], None] = lambda running: None,
    ended: Callable[[Job, Outcome], None] = lambda job, outcome: None,
    every: float = 1.0,
) -> dict[str, Outcome]:
    """Run every job, one at a time on each core. A job that fails stops no other.

    SIGTERM, SIGHUP and Ctrl-C are passed on to the jobs as SIGTERM, and this waits for
    their ends, so that a training can save a checkpoint. If this process is killed, Linux
    sends SIGTERM to the jobs.

    Args:
        jobs: The jobs, in the order in which they begin.
        cores: Numbers of the cores.
        tick: A function that is called from time to time. It takes the seconds for which
            each running job has been running, by its name.
        ended: A function that is called when a job has ended.
        every: Seconds between two looks at the jobs; default: 1.

    Returns:
        The outcome of every job, by its name.

    Raises:
        KeyboardInterrupt: After one of these signals, when the jobs have ended.
    """
    waiting, free = deque(jobs), deque(cores)
    running: dict[int, tuple[Job, subprocess.Popen, float]] = {}
    outcomes: dict[str, Outcome] = {}
    with _interrupting():
        try:
            while waiting or running:
                while waiting and free:
                    core, job = free.popleft(), waiting.popleft()
                    running[core] = job, _start(job, core), time.monotonic()
                for core, (job, process, _) in list(running.items()):
                    code = process.poll()
                    if code is not None:
                        del running[core]
                        free.append(core)
                        outcomes[job.name] = Outcome(code, last_lines(job.log))
                        ended(job, outcomes[job.name])
                now = time.monotonic()
                tick({job.name: now - begun for job, _, begun in running.values()})
                if running:
                    time.sleep(every)
        finally:
            _end([process for _, process, _ in running.values()])
    return outcomes


def last_lines(log: Path, count: int = 10) -> list[str]:
    """Return the last lines of a log that are not empty."""
    text = log.read_text(errors='replace') if log.is_file() else ''
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def _start(job: Job, core: int) -> subprocess.Popen:
    parent = os.getpid()

    def prepare() -> None:
        if hasattr(os, 'sched_setaffinity'):
            os.sched_setaffinity(0, {core})
        if _PRCTL is not None:
            _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended in between
                os._exit(1)

    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open('ab') as log:
        # a session of its own: Ctrl-C comes from here, and once
        return subprocess.Popen(
            job.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | _ONE_THREAD,
            start_new_session=True,
            preexec_fn=prepare,
        )


def _end(processes: Sequence[subprocess.Popen]) -> None:
    """Let processes end, and wait. If a signal comes meanwhile, kill them."""
    try:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
            process.wait()
        raise


@contextmanager
def _interrupting():
    """Context manager. Let SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    A signal that is ignored stays so: `nohup` ignores SIGHUP.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    heard = [n for n in _ENDS if signal.getsignal(n) is not signal.SIG_IGN]
    former = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
