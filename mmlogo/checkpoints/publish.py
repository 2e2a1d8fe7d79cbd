"""Writes a checkpoint without what only its training needs, named by its hash."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmlogo.checkpoints.export import sha256
from mmlogo.checkpoints.match import is_copy
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.checkpoints.seal import sealed, write_file


def publish(
    path: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    teacher: bool = False,
    about: Mapping[str, str | None] | None = None,
) -> Path:
    """Write the student of a checkpoint and its metadata, as OpenMMLab publishes models.

    The file keeps `state_dict` without queues, ramps and momentum copies, and `meta` as
    plain values, so that torch's safe reader reads it. Its name ends with the first eight
    hex digits of its SHA-256, which `torch.hub` checks on download if `check_hash` is True.
    The same checkpoint gives the same file.

    Args:
        path: A checkpoint that MMEngine's Runner wrote.
        folder: The folder of the new file. It is made if it does not exist.
        name: The first part of the file's name; default: the names of the run and of the
            checkpoint.
        teacher: Whether to keep momentum copies; default: False.
        about: Further entries of `meta`; default: none.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint cannot be read, or has no student.
    """
    path = Path(path).expanduser()
    content = read_checkpoint(path)
    if not isinstance(content, Mapping) or not isinstance(content.get('state_dict'), dict):
        raise ValueError(
            f'{path} has no state_dict; published are checkpoints that tools/train.py '
            'wrote, and tools/export_backbone.py takes a backbone out of others'
        )
    state = content['state_dict']
    kept = {
        key: value.detach().cpu().clone()
        for key, value in state.items()
        if isinstance(value, Tensor) and _is_kept(key.partition('.')[0], teacher)
    }
    if not kept:
        raise ValueError(
            f'{path} has no tensor of a student: it holds {", ".join(list(state)[:3])}; '
            'keep momentum copies with --teacher'
        )
    meta = _plain(content.get('meta') or {}) | dict(about or {})
    meta['sha256_of_source'] = sha256(path)
    buffer = io.BytesIO()  # to a path, torch would save its name too
    torch.save(dict(meta=meta, state_dict=kept), buffer)
    content = sealed(buffer.getvalue())
    digits = hashlib.sha256(content).hexdigest()[:8]
    # a second hyphen and hex digits would be taken for the digits
    stem = (name or _name(path, meta)).replace('-', '_')
    out = Path(folder).expanduser() / f'{stem}-{digits}.pth'
    write_file(content, out)
    return out


def _is_kept(part: str, teacher: bool) -> bool:
    words = re.split('_', part)
    return not {'queue', 'queues', 'ramp'} & set(words) and (teacher or not is_copy(part))


def _name(path: Path, meta: dict[str, Any]) -> str:
    """Join simsiam_r18_cifar10_20300131_235959 and epoch_60.pth to simsiam_..._epoch_60."""
    run = re.sub(r'_?\d{8}_\d{6}$', '', str(meta.get('experiment_name', '')))
    return f'{run}_{path.stem}' if run else path.stem


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
