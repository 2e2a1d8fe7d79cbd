"""Writes checkpoints that are complete or absent, and finds any damage to them later.

torch's checkpoints are zip archives, and a zip archive may end with a comment. Here the
comment is the SHA-256 of everything before it. So a file carries its own check wherever it
is copied, and other programs read it as before. A file is written under a temporary name,
synced to the disk and renamed. At every moment the old file or the new one is there.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import LocalBackend, register_backend

BACKEND = 'mmlogo'  # the name of `SealedBackend` in MMEngine's `backend_args`
MARK = b'mmlogo sha256 '
_DIGEST = hashlib.sha256().digest_size * 2  # in hex
_COMMENT = len(MARK) + _DIGEST
_BEGIN = b'PK\3\4'
_END = b'PK\5\6'  # begins the last record of a zip archive, of 22 bytes without a comment
_END_SIZE = 22
_PIECE = 1 << 22


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written: bytes are missing or have changed."""


def write_checkpoint(content: Any, path: str | Path) -> None:
    """Save a checkpoint with torch, sealed, under its name only when it is complete.

    Raises:
        OSError: If it cannot be written. The message says how much space is missing. An
            older file of this name is left as it was.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_file(sealed(buffer.getvalue()), path)


def sealed(archive: bytes) -> bytes:
    """Add the digest of a zip archive as its comment. Other bytes come back as they are."""
    end = len(archive) - _END_SIZE
    if archive[end : end + 4] != _END or archive[-2:] != b'\0\0':
        return archive
    body = archive[:-2] + struct.pack('<H', _COMMENT) + MARK
    return body + hashlib.sha256(body).hexdigest().encode()


def check_seal(path: str | Path) -> bool:
    """Compare a checkpoint with its digest.

    Returns:
        Whether it has one. Files of other programs and of older versions have none.

    Raises:
        DamagedCheckpointError: If its bytes are not those that were written.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open('rb') as file:
        if file.read(4) != _BEGIN:
            return False
        file.seek(max(0, size - _END_SIZE - _COMMENT))
        tail = file.read()
        if MARK not in tail and _length(tail) != _COMMENT:
            return False  # of another program, or cut off before its end, as torch will see
        file.seek(0)
        digest, left = hashlib.sha256(), max(0, size - _DIGEST)
        while left:
            piece = file.read(min(left, _PIECE))
            digest.update(piece)
            left -= len(piece)
        if digest.hexdigest().encode() != file.read():
            raise DamagedCheckpointError(
                f'{path} ({size:,} bytes) is damaged: its content is not what was written '
                '(the SHA-256 at its end is another). Copy it again, or use another '
                'checkpoint; --resume takes the newest of a work dir that is whole'
            )
    return True


def _length(tail: bytes) -> int | None:
    """Return the length of the comment that an archive's last record tells, if any."""
    found = tail.rfind(_END)
    field = tail[found + 20 : found + 22] if found >= 0 else b''
    return int.from_bytes(field, 'little') if len(field) == 2 else None


def write_file(content: bytes, path: str | Path) -> None:
    """Write a file so that it is complete or absent, whenever the machine stops.

    Raises:
        OSError: If it cannot be written. The message names the file, its size and the free
            space. An older file of this name is left as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        with partial.open('wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, _unwritten(error, path, len(content))) from error
    _sync_folder(path.parent)


def _unwritten(error: OSError, path: Path, size: int) -> str:
    free = shutil.disk_usage(path.parent).free
    text = f'{path} could not be written ({error.strerror}): it has {size:,} bytes'
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text += (
            f', and {free:,} are free in {path.parent}, so at least '
            f'{max(size - free, 0):,} are missing'
        )
    return text + (
        '. Older checkpoints are as they were. Make room or choose another --work-dir, '
        'then continue with --resume'
    )


def _sync_folder(folder: Path) -> None:
    """Let the new name itself reach the disk, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems cannot sync a folder
        pass
    finally:
        os.close(handle)


@register_backend(BACKEND, force=True)
class SealedBackend(LocalBackend):
    """MMEngine's way to write local files, with seals, and never half a file."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_file(sealed(obj), filepath)
