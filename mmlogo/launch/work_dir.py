"""Keeps two runs out of one work dir."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from mmengine.config import Config
from mmengine.dist import broadcast_object_list, is_main_process

from mmlogo.checkpoints.newest import checkpoints_in

_LOCK = '.lock'
_HELD: dict[Path, IO[str]] = {}


def claim_work_dir(cfg: Config) -> None:
    """Take the work dir for this training, until the process ends.

    Raises:
        FileExistsError: If another training is writing to it, or if it has the checkpoints
            of a training and this one does not go on from one of them.
    """
    problem = [_problem(cfg) if is_main_process() else None]
    broadcast_object_list(problem)
    if problem[0] is not None:
        raise FileExistsError(problem[0])


def holder_of(work_dir: str | os.PathLike) -> str | None:
    """Return which process trains in a work dir now, such as 'process 7 on HOST'.

    None if none does, or if the file system has no locks.
    """
    try:
        with (Path(work_dir).resolve() / _LOCK).open('r+') as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    return file.read().strip() or 'another process'
    except FileNotFoundError:
        pass
    return None


def _problem(cfg: Config) -> str | None:
    folder = Path(cfg.work_dir).resolve()
    found = checkpoints_in(folder)
    source = Path(cfg.get('load_from') or folder / 'none').resolve()
    if cfg.get('resume') and source.parent == folder:
        found = []
    if found:
        return (
            f'{cfg.work_dir} has checkpoints of a training ({found[0].name}), which this '
            'one would overwrite; go on with it (--resume), or choose another folder '
            '(--work-dir)'
        )
    folder.mkdir(parents=True, exist_ok=True)
    return _lock(folder)


def _lock(folder: Path) -> str | None:
    """Lock a folder for the life of this process. Return why that cannot be done."""
    if folder in _HELD:
        return None
    file = (folder / _LOCK).open('a+')
    try:
        # a lock of this process alone: workers of the data loader do not inherit it
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            file.close()  # a file system without locks
            return None
        file.seek(0)
        holder = file.read().strip() or 'another process'
        file.close()
        return (
            f'{folder} is being written by a training ({holder}); wait for its end, or '
            'choose another folder (--work-dir)'
        )
    file.truncate(0)
    file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
    file.flush()
    _HELD[folder] = file
    return None
