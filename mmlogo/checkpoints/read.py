"""Reads checkpoints, for mmlogo and for MMEngine. There is no other way to read one here.

A checkpoint is a pickle, and a pickle names functions and the arguments to call them with.
torch's safe reader calls only functions on a list. NumPy's numbers and MMEngine's log are
not on it. MMEngine therefore adds `getattr`, from which every function can be reached. If
that is not enough, it reads the file without a list. This module has a list of its own: a
stand-in for each name, which only keeps what the file gives. The stand-ins become real
objects when the whole file has been read and checked.

Importing this module registers it with MMEngine's `CheckpointLoader`, for files and URLs.
"""

from __future__ import annotations

import logging
import pickle
import re
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.logging import print_log
from mmengine.runner import (
    CheckpointLoader,
    get_deprecated_model_names,
    get_external_models,
    get_torchvision_models,
)
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from mmlogo.checkpoints.arrays import UnsafePickleError
from mmlogo.checkpoints.detectron2 import read_pickle
from mmlogo.checkpoints.inert import STAND_INS, finish
from mmlogo.checkpoints.origin import plain_config, value_of
from mmlogo.checkpoints.seal import DamagedCheckpointError, check_seal

# torch.save's older format begins with this number's pickle, after two bytes of protocol.
_MAGIC = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)[2:]
_LOCK = threading.Lock()


def read_checkpoint(path: str | Path, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint as it was saved, or the tensors of a .safetensors file.

    Nothing that the file names is run, and the result holds nothing that could be run. It
    holds tensors, arrays of numbers, names and plain values, MMEngine's log, and arguments
    that `argparse` parsed. A pickle that torch did not write is read by `read_pickle`.

    Args:
        path: A .pth, .pt, .pth.tar or .safetensors file, or a pickle of arrays.
        map_location: The device of the tensors, or what else `torch.load` takes; default:
            the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedCheckpointError: If the file is not what mmlogo wrote. It is a ValueError.
        ValueError: If the file cannot be read, or holds anything else.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}; check the path')
    try:
        check_seal(path)
        return _read(path, map_location)
    except DamagedCheckpointError:
        raise
    except UnsafePickleError as error:
        raise ValueError(_refused(path, str(error))) from error
    except Exception as error:
        if what := _names(error):
            raise ValueError(_refused(path, what)) from error
        said = _shortened(error)
        raise ValueError(
            f'{path} ({path.stat().st_size:,} bytes) cannot be read as a checkpoint '
            f'({type(error).__name__}: {said}); '
            + (
                'it was saved with a pickle_protocol above 3, or is cut off: save, copy or '
                'download it again'
                if 'operand' in said
                else 'it may be cut off: copy or download it again'
            )
        ) from error


def _refused(path: Path, what: str) -> str:
    return (
        f'{path} was not read: it holds {what}, and to read that may run what the file '
        'says; a checkpoint may hold tensors, arrays of numbers, names and plain values. '
        'If you trust it, load it with its own library and save the tensors with torch.save'
    )


def _names(error: Exception) -> str | None:
    """Return what torch's safe reader refused in a file, empty if it was something else."""
    text = str(error)
    if isinstance(error, RuntimeError) and 'TorchScript' in text:
        return 'a program of TorchScript'
    if isinstance(error, RuntimeError) and 'legacy .tar' in text:
        return "objects in PyTorch's first format, a .tar"
    found = re.search(r'(?:GLOBAL|unrecognized function|but got) (.+?)(?: w|[.\n]*$)', text)
    return found[1] if found and isinstance(error, pickle.UnpicklingError) else None


def _shortened(error: Exception) -> str:
    """Return the line of an error that says what is wrong. torch puts advice before it."""
    lines = [line for line in str(error).splitlines() if line]
    advice = ('Weights only load failed', 'Please file an issue')
    said = [line for line in lines if not any(words in line for words in advice)]
    return next(iter(said or lines), 'no message')


def _read(path: Path, map_location: Any) -> Any:
    if path.suffix == '.safetensors':
        from safetensors.torch import load_file

        return load_file(path)
    if not _is_of_torch(path):
        return read_pickle(path)
    with _only(STAND_INS):
        content = torch.load(path, map_location=map_location, weights_only=True)
    return finish(content)


def _is_of_torch(path: Path) -> bool:
    with path.open('rb') as file:
        start = file.read(64)
    return start.startswith(b'PK') or _MAGIC in start or tarfile.is_tarfile(path)


@contextmanager
def _only(known: dict[str, Any]) -> Iterator[None]:
    """Let torch's safe reader know these names, and none that another package added."""
    with _LOCK:
        others = get_safe_globals()
        clear_safe_globals()
        add_safe_globals([(value, name) for name, value in known.items()])
        try:
            yield
        finally:
            clear_safe_globals()
            add_safe_globals(others)


# --- MMEngine's loaders ----------------------------------------------------------------
# It finds them by the beginning of a name, and says in its log what follows `load_from_`.


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a checkpoint for MMEngine, and leave only plain values of its configs.

    MMEngine would run them. `Runner.resume` runs `meta['config']` for its `gpu_ids`, so
    only these stay. Inference without a config runs the config that training left in
    `meta` or in the message hub, of which the plain values stay.
    """
    content = read_checkpoint(filename, 'cpu' if map_location is None else map_location)
    meta = _part(content, 'meta')
    info = _part(_part(content, 'message_hub'), 'runtime_info')
    if 'config' in meta:
        meta['config'] = f'gpu_ids = {_gpu_ids(meta["config"])!r}\n'
    for holder in (meta, info):
        text = holder.get('cfg')
        if isinstance(text, str) and (plain := plain_config(text)) != text:
            holder['cfg'] = plain
            print_log(
                f'{filename} has a config with more than plain values, such as an import; '
                'what is more is left out, and is not run',
                'current',
                logging.WARNING,
            )
    return content


def _part(content: Any, name: str) -> dict:
    part = content.get(name) if isinstance(content, dict) else None
    return part if isinstance(part, dict) else {}


def _gpu_ids(config: object) -> list[int] | range | None:
    ids = value_of(config, 'gpu_ids') if isinstance(config, str) else None
    if isinstance(ids, list) and all(type(number) is int for number in ids):
        return ids
    return ids if isinstance(ids, range) else None


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Download a file once, to the folder of `torch.hub`, and read it from there."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(filename).path).name)
    if is_main_process():
        _download(filename, path)
    barrier()
    _download(filename, path)  # on the other machines, which have folders of their own
    return load_from_local(str(path), map_location)


def _download(url: str, path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        print_log(f'downloading {url} to {path}', 'current')
        torch.hub.download_url_to_file(url, str(path))


def load_from_torchvision(filename: str, map_location: Any = None) -> Any:
    return load_from_http(_url(filename, get_torchvision_models()), map_location)


def load_from_openmmlab(filename: str, map_location: Any = None) -> Any:
    urls = get_external_models()
    for old, new in get_deprecated_model_names().items():
        urls.setdefault(old, urls.get(new, new))
    return CheckpointLoader.load_checkpoint(_url(filename, urls), map_location)


def _url(filename: str, urls: dict[str, str]) -> str:
    name = filename.partition('://')[2]
    if name not in urls:
        near = get_close_matches(name, urls, 1)
        hint = f'; did you mean {filename.removesuffix(name)}{near[0]}?' if near else ''
        raise ValueError(
            f'there is no checkpoint {filename}: MMEngine knows none of that name{hint}'
        )
    return urls[name]


def load_from_elsewhere(filename: str, map_location: Any = None) -> NoReturn:
    """Refuse a name that only MMEngine's own loader could read."""
    scheme = filename.partition('://')[0]
    raise ValueError(
        f'{filename} was not read: {scheme}:// is fetched and read in one step, which may '
        'run what the file says. Download the file and give its path'
    )


def register() -> None:
    """Put these functions in the place of MMEngine's loaders, for every scheme it knows."""
    for beginning, loader in {
        '': load_from_local,
        'http://': load_from_http,
        'https://': load_from_http,
        'modelzoo://': load_from_torchvision,
        'torchvision://': load_from_torchvision,
        'open-mmlab://': load_from_openmmlab,
        'openmmlab://': load_from_openmmlab,
        'mmcls://': load_from_elsewhere,
        'pavi://': load_from_elsewhere,
        r'(\S+\:)?s3://': load_from_elsewhere,
        r'(\S+\:)?petrel://': load_from_elsewhere,
    }.items():
        CheckpointLoader.register_scheme(beginning, loader, force=True)


register()
