"""A tiny training that is killed, starved, poisoned and frozen, and what becomes of it.

Every trial runs tools/train.py in a process of its own, a fork of this one, so that signals
are real and the start takes no time for imports.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers import tool, write_config
from mmengine.runner import Runner
from PIL import Image

from mmlogo.checkpoints import seal
from mmlogo.checkpoints.newest import checkpoints_in, newest_valid
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.runs import TIMES, joined, logs_of, read_rows

STAGES = ('before', 'half', 'written', 'synced', 'renamed')  # of writing a file
EPOCHS = 3
STEPS = 5  # in an epoch


def fork(work: Callable[[], object], log: Path, **environment: str) -> int:
    """Run something in a child process and return its pid. Its output goes to `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        # pytest's own write elsewhere
        sys.stdout = open(1, 'w', buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, 'w', buffering=1, closefd=False)  # noqa: SIM115
        os.environ.update(environment)
        work()
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float = 120.0) -> int:
    """Return a child's exit code, or minus the signal that ended it.

    Raises:
        TimeoutError: If it has not ended in time. It is killed then.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise TimeoutError(f'process {pid} did not end in {seconds:g} s')


def images(folder: Path, per_class: int = 20) -> Path:
    """Write a folder of images of noise, two classes in two splits."""
    draw = np.random.default_rng(0)
    for split in ('train', 'test'):
        for name in ('a', 'b'):
            (folder / split / name).mkdir(parents=True)
            for n in range(per_class):
                pixels = draw.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f'{n:02}.png')
    return folder


def at_iteration(number: int, act: Callable[[Runner], object]) -> None:
    """Let this process do something before an iteration."""
    call_hook = Runner.call_hook

    def acted(self, name: str, **kwargs) -> None:
        if name == 'before_train_iter' and self.iter + 1 == number:
            act(self)
        call_hook(self, name, **kwargs)

    Runner.call_hook = acted  # type: ignore[method-assign]


def kill_at_call(number: int) -> None:
    """Let this process kill itself at the n-th time that the runner calls its hooks."""
    calls, call_hook = 0, Runner.call_hook

    def counted(self, name: str, **kwargs: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        call_hook(self, name, **kwargs)

    Runner.call_hook = counted  # type: ignore[method-assign]


def in_write(number: int, stage: str, act: Callable[[], object]) -> None:
    """Let something happen while this process writes its n-th checkpoint."""
    count, write_file = 0, seal.write_file

    class Half:
        """A file that is written by halves."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def write(self, content: bytes) -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            act()
            self.file.write(content[len(content) // 2 :])

    def written(content: bytes, path: Any) -> None:
        nonlocal count
        if Path(path).suffix != '.pth':
            return write_file(content, path)
        count += 1
        if count != number:
            return write_file(content, path)
        plain, fsync, replace = Path.open, os.fsync, os.replace
        if stage == 'before':
            act()
        if stage == 'half':
            Path.open = lambda self, *a: Half(plain(self, *a))  # type: ignore
        if stage == 'written':
            os.fsync = lambda file: (act(), fsync(file))[1]  # type: ignore
        if stage in ('synced', 'renamed'):

            def renamed(*names: Any) -> None:
                if stage == 'synced':
                    act()
                replace(*names)
                if stage == 'renamed':
                    act()

            os.replace = renamed  # type: ignore
        try:
            return write_file(content, path)
        finally:
            Path.open, os.fsync, os.replace = plain, fsync, replace  # type: ignore

    for module in ('mmlogo.checkpoints.seal', 'mmlogo.engine.hooks.checkpoint'):
        sys.modules[module].write_file = written  # type: ignore[attr-defined]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Lab:
    """One training of some length, and what comes out if nothing disturbs it.

    Args:
        folder: Where everything is.
        base: The config.
        workers: Of the data loader.
        ranks: Number of processes.
        text: More for the config.
    """

    folder: Path
    base: str = 'simsiam_logo_r18_cifar10'
    workers: int = 0
    ranks: int = 1
    text: str = ''

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tree = self.folder / 'images'
        if not self.tree.is_dir():
            images(self.tree)
        self.config = write_config(
            self.folder,
            f'{self.base}_{self.workers}_{self.ranks}',
            self.base,
            f'train_cfg = dict(max_epochs={EPOCHS}, val_interval=1)\n'
            f'train_dataloader = dict(num_workers={self.workers},\n'
            f'    persistent_workers={self.workers > 0})\n'
            "default_hooks['checkpoint'] = dict(\n"
            '    interval=2, by_epoch=False, max_keep_ckpts=1)\n'
            "default_hooks['validate_first'] = None\n"
            + ("env_cfg = dict(dist_cfg=dict(backend='gloo', heartbeat=4))\n")
            + self.text,
        )
        self.straight = self.folder / f'straight_{self.config.stem}'
        self.calls = 0

    def train(
        self, work_dir: Path, *words: str, first: Callable[[], object] | None = None
    ) -> list[int]:
        """Start a training on every rank and return the pids."""
        work_dir.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]

        def work() -> None:
            torch.set_num_threads(1)
            if first is not None:
                first()
            launcher = ('--launcher', 'pytorch') if self.ranks > 1 else ()
            common = (self.config, '--data-root', self.tree, '--work-dir', work_dir)
            try:
                tool('train', *common, *launcher, *words)
            finally:
                from mmlogo import launch

                if sys.exc_info()[0] in (None, SystemExit) and self.ranks > 1:
                    launch.leave_processes()

        return [
            fork(
                work,
                work_dir / f'log_{rank}.txt',
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(self.ranks),
                MASTER_ADDR='127.0.0.1',
                MASTER_PORT=str(port),
            )
            for rank in range(self.ranks)
        ]

    def finish(self, work_dir: Path, *words: str, **kwargs: Any) -> list[int]:
        """Train to the end and return the exit codes."""
        return [wait(pid) for pid in self.train(work_dir, *words, **kwargs)]

    def undisturbed(self) -> Outcome:
        """Return what comes out if nothing happens. It is trained once."""
        if not (self.straight / 'done').exists():
            calls = self.folder / f'calls_{self.config.stem}'

            def count() -> None:
                call_hook = Runner.call_hook

                def counted(runner, name: str, **kwargs: Any) -> None:
                    with calls.open('a') as file:
                        file.write('.')
                    call_hook(runner, name, **kwargs)

                if os.environ['RANK'] == '0':
                    Runner.call_hook = counted  # type: ignore[method-assign]

            codes = self.finish(self.straight, first=count)
            assert codes == [0] * self.ranks, (self.straight / 'log_0.txt').read_text()
            (self.straight / 'done').touch()
        self.calls = (self.folder / f'calls_{self.config.stem}').stat().st_size
        return outcome(self.straight)


@dataclass
class Outcome:
    """The end of a training: all that is saved, and all that was logged."""

    saved: dict[str, Any]
    logged: dict[int, dict[str, float]]

    def differs(self, other: Outcome) -> list[str]:
        """Return what is not equal to the last bit."""
        wrong = [f'saved {name}' for name in unequal(self.saved, other.saved)]
        steps = sorted(set(self.logged) | set(other.logged))
        wrong += [
            f'log of step {step}'
            for step in steps
            if self.logged.get(step) != other.logged.get(step)
        ]
        return wrong


def outcome(work_dir: Path) -> Outcome:
    newest = checkpoints_in(work_dir)[0]
    content = read_checkpoint(newest)
    keep = ('state_dict', 'optimizer', 'param_schedulers', 'online_probe')
    saved = {name: content[name] for name in keep if name in content}
    saved['at'] = {name: content['meta'][name] for name in ('iter', 'epoch')}
    rows = joined([read_rows(log) for log in logs_of(work_dir)])
    logged: dict[int, dict[str, float]] = {}
    for row in rows:
        kind = 0 if 'epoch' in row else 10_000
        kept = {k: v for k, v in row.items() if k not in TIMES and 'time' not in k}
        logged.setdefault(row['step'] + kind, {}).update(kept)
    return Outcome(saved, logged)


def unequal(one: Any, two: Any, name: str = '') -> list[str]:
    """Return the names of tensors and values that differ in nested containers."""
    if isinstance(one, torch.Tensor):
        same = isinstance(two, torch.Tensor) and torch.equal(one, two)
        return [] if same else [name]
    if isinstance(one, dict):
        if not isinstance(two, dict) or list(one) != list(two):
            return [f'{name} (names)']
        return [w for key in one for w in unequal(one[key], two[key], f'{name}.{key}')]
    if isinstance(one, (list, tuple)):
        if len(one) != len(two):
            return [f'{name} (length)']
        pairs = enumerate(zip(one, two, strict=True))
        return [w for n, (a, b) in pairs for w in unequal(a, b, f'{name}.{n}')]
    return [] if one == two else [name]


def chain_of_kills(
    lab: Lab, work_dir: Path, kills: int, draw: random.Random, write: bool
) -> list[str]:
    """Kill a training several times, resume it each time, and compare its end.

    Args:
        lab: The training.
        work_dir: A new folder.
        kills: How often.
        draw: Where.
        write: Whether in the writing of a checkpoint, else anywhere.

    Returns:
        What differs from the undisturbed training.
    """
    want = lab.undisturbed()
    for number in range(kills):
        victims = set(draw.choice(([0], [lab.ranks - 1], range(lab.ranks))))
        stage, at = draw.choice(STAGES), draw.randint(1, 3)
        call = draw.randint(8, max(9, lab.calls // 2))

        def disturb(victims=victims, stage=stage, at=at, call=call) -> None:
            if write:
                in_write(at, stage, die)  # rank 0 alone writes
            elif int(os.environ['RANK']) in victims:
                kill_at_call(call)

        codes = lab.finish(work_dir, '--resume', 'auto', first=disturb)
        if all(code == 0 for code in codes):
            break  # it came to its end before the kill
        if newest_valid(work_dir).path is None and checkpoints_in(work_dir):
            return [f'kill {number}: no whole checkpoint is left']
    codes = lab.finish(work_dir, '--resume', 'auto')
    if any(codes):
        return [f'exit codes {codes}: {(work_dir / "log_0.txt").read_text()[-2000:]}']
    return want.differs(outcome(work_dir))


def signals_at(step: int, names: Sequence[str], pause: float = 0.0) -> Callable[[], object]:
    """Return what lets rank 0 send itself signals before a step, some seconds apart."""

    def disturb() -> None:
        call_hook = Runner.call_hook

        def counted(self, name: str, **kwargs: Any) -> None:
            call_hook(self, name, **kwargs)
            due = name == 'before_train_iter' and self.iter + 1 == step
            if due and os.environ['RANK'] == '0':
                for number, signal_name in enumerate(names):
                    time.sleep(pause * number)
                    os.kill(os.getpid(), getattr(signal, signal_name))

        Runner.call_hook = counted  # type: ignore[method-assign]

    return disturb


def interrupted(
    lab: Lab, work_dir: Path, names: Sequence[str], step: int, pause: float = 0.0
) -> list[str]:
    """Send signals to rank 0 at a step, some seconds apart, resume, and compare the end."""
    want = lab.undisturbed()
    codes = lab.finish(work_dir, first=signals_at(step, names, pause))
    if codes != [75] * lab.ranks:
        return [f'exit codes {codes}: {(work_dir / "log_0.txt").read_text()[-2000:]}']
    codes = lab.finish(work_dir, '--resume')
    return [f'codes {codes}'] * any(codes) or want.differs(outcome(work_dir))
