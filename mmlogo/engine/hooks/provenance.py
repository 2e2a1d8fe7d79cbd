"""A hook that records a run's command, commit, hardware and time."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

import mmlogo
from mmlogo.engine.hooks.bad_samples import listed
from mmlogo.registry import HOOKS

FILE = 'runs.jsonl'


@HOOKS.register_module()
class ProvenanceHook(Hook):
    """Append a record of every start, end and test to `runs.jsonl` in the work dir.

    Tables of results are made from these records. A start has command, commit, seed,
    hardware and versions. An end has epochs, iterations, the seconds of wall clock and of
    processor time of this process, and the number of bad images that were replaced
    (`BadSamplesHook` lists them). 'interrupted' is the end that a signal caused. A test has
    what a start has, and the name of the checkpoint. The `meta` of every checkpoint has
    commit and version, too.
    """

    _commit: str | None = None

    def before_train(self, runner) -> None:
        self._clock, self._processor = time.monotonic(), time.process_time()
        self._begin(runner, 'start', epoch=runner.epoch, iteration=runner.iter)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        checkpoint['meta'] |= dict(commit=self._commit, mmlogo_version=mmlogo.__version__)

    def before_test(self, runner) -> None:
        self._begin(runner, 'test', checkpoint=Path(runner._load_from or '').name)

    def after_train(self, runner) -> None:
        self._end(runner, event='end', iteration=runner.iter)

    def after_interrupt(self, runner, cause: str) -> None:
        self._end(runner, event='interrupted', iteration=runner.iter + 1, cause=cause)

    def _end(self, runner, **what: object) -> None:
        self._append(
            runner,
            **what,
            epoch=runner.epoch,
            seconds=round(time.monotonic() - self._clock, 1),
            cpu_seconds=round(time.process_time() - self._processor, 1),
            bad_samples=len(listed(runner.work_dir, runner.timestamp)),
        )

    def _begin(self, runner, event: str, **more: object) -> None:
        self._commit = commit()  # the code that runs; later commits do not matter
        self._append(
            runner,
            event=event,
            **more,
            time=datetime.now(timezone.utc).isoformat(timespec='seconds'),
            command=shlex.join([Path(sys.executable).name, *sys.argv]),
            commit=self._commit,
            version=mmlogo.__version__,
            torch=torch.__version__,
            python=platform.python_version(),
            seed=runner.seed,
            hardware=hardware(),
            processes=get_world_size(),
        )

    @staticmethod
    def _append(runner, **record: object) -> None:
        if is_main_process():
            with (Path(runner.work_dir) / FILE).open('a') as file:
                file.write(json.dumps(record) + '\n')


def commit() -> str | None:
    """Return the commit of the checkout that mmlogo is imported from.

    A plus sign follows if tracked files have changed since. If mmlogo is not imported
    from its own checkout, return None.
    """
    root = Path(mmlogo.__file__).resolve().parents[1]

    def git(*words: str) -> str:
        return subprocess.run(
            ['git', '-C', str(root), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git('rev-parse', '--show-toplevel')).resolve() != root:
            return None  # installed inside the checkout of another project
        changed = git('status', '--porcelain', '--untracked-files=no')
        return git('rev-parse', '--short=7', 'HEAD') + ('+' if changed else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def hardware() -> str:
    """Return the name of the GPU, or of the processor with torch's number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{processor()}, {torch.get_num_threads()} threads'


def processor() -> str:
    try:
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                return line.partition(':')[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
