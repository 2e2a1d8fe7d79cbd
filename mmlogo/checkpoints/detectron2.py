"""detectron2's names of a ResNet's tensors, and its pickles of arrays.

Facts from detectron2 (github.com/facebookresearch/detectron2): the names of
tools/convert-torchvision-to-d2.py; the pickle of checkpoint/detection_checkpoint.py, a
dict of `model` (name to array), `__author__` and `matching_heuristics`.
"""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

_THEIRS = re.compile(
    r'(?:^|(?<=\.))(?:stem|res(?P<stage>[2-5])\.(?P<block>\d+))'
    r'\.(?:conv(?P<conv>[123])|shortcut)(?P<norm>\.norm)?\.(?P<tensor>\w+)$'
)
_OURS = re.compile(
    r'(?:layer(?P<stage>[1-4])\.(?P<block>\d+)\.)?'
    r'(?:(?P<kind>conv|bn)(?P<conv>[123])|downsample\.(?P<place>[01]))\.(?P<tensor>\w+)'
)

_NUMBER = re.compile('[<>|=]?(f[248]|[iu][1248]|b1)')


class UnsafePickleError(ValueError):
    """A pickle holds something else than names and arrays of numbers."""


def to_detectron2(name: str) -> str:
    """layer1.0.bn2.weight -> res2.0.conv2.norm.weight; the stem is `stem`."""
    match = _OURS.fullmatch(name)
    assert match, name
    stage, block, kind, conv, place, tensor = match.groups()
    where = f'res{int(stage) + 1}.{block}' if stage else 'stem'
    layer = f'conv{conv}' if conv else 'shortcut'
    norm = '.norm' if kind == 'bn' or place == '1' else ''
    return f'{where}.{layer}{norm}.{tensor}'


def from_detectron2(name: str) -> str:
    """The reverse, behind any prefix; other names stay as they are."""
    match = _THEIRS.search(name)
    if match is None:
        return name
    stage, block, conv, norm, tensor = match.groups()
    where = f'layer{int(stage) - 1}.{block}.' if stage else ''
    layer = (
        f'{"bn" if norm else "conv"}{conv}' if conv else f'downsample.{1 if norm else 0}'
    )
    return f'{name[: match.start()]}{where}{layer}.{tensor}'


def write_pickle(path: str | Path, state: Mapping[str, Tensor], meta: dict) -> None:
    """Write a backbone, named as torchvision names it, for `MODEL.WEIGHTS`.

    Floats become float32, which NumPy has; counts of batches, which detectron2 does not
    have, are left out.
    """
    model = {
        to_detectron2(name): value.float().numpy()
        for name, value in state.items()
        if not name.endswith('num_batches_tracked')
    }
    content = dict(model=model, __author__='mmlogo', matching_heuristics=True, meta=meta)
    # NumPy 2 names its own new module, which the NumPy of a detectron2 of today may
    # not have; the old name is good in both. Protocol 3 spells names out, and the first
    # stands before any array's bytes.
    new, old = (f'c{name}.multiarray\n'.encode() for name in ('numpy._core', 'numpy.core'))
    Path(path).write_bytes(pickle.dumps(content, protocol=3).replace(new, old, 1))


def read_pickle(path: str | Path) -> Any:
    """A pickle of names, plain values and arrays of numbers, Python 2's too.

    Nothing that the file names is imported or called: what stands for an array is put
    together here, from its shape, its type and its bytes. Arrays become tensors.

    Raises:
        UnsafePickleError: If it holds anything else.
        pickle.UnpicklingError, EOFError: If it is cut off or no pickle.
    """
    with Path(path).open('rb') as file:
        content = _ArrayUnpickler(file, encoding='latin1').load()
    return _tensors(content)


class _DType:
    """What `numpy.dtype` builds: a number of known size and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise UnsafePickleError(f'an array of {code!r}, which is no type of number')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] == '>':
            self.dtype = self.dtype.newbyteorder('>')


class _Array:
    """What `_reconstruct` and `_frombuffer` build."""

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        self.fill(content, dtype, shape, 'F' if is_fortran else 'C')

    def fill(self, content: object, dtype: object, shape: tuple, order: str) -> _Array:
        if isinstance(content, str):  # of Python 2
            content = content.encode('latin1')
        if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, _DType):
            raise UnsafePickleError('an array that is not made of bytes')
        if order not in ('C', 'F'):
            raise UnsafePickleError(f'an array laid out in order {order!r}')
        flat = np.frombuffer(content, dtype.dtype)
        self.array = flat.reshape(shape, order='F' if order == 'F' else 'C')
        return self


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _from_buffer(
    content: object, dtype: object, shape: tuple, order: str, *_: object
) -> _Array:
    return _Array().fill(content, dtype, shape, order)


def _scalar(dtype: object, content: object) -> _Array:
    return _Array().fill(content, dtype, (), 'C')


def _encode(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise UnsafePickleError(f'bytes encoded as {encoding!r}')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    return b''


def _nothing(*_: object) -> None:
    """`numpy.ndarray` is only ever handed to `_reconstruct`."""


_MEANT: dict[str, Any] = {
    'collections.OrderedDict': OrderedDict,
    '_codecs.encode': _encode,
    '__builtin__.bytes': _no_bytes,  # of an empty array, in the old protocols
    'numpy.dtype': _DType,
    'numpy.ndarray': _nothing,
    'numpy.core.multiarray._reconstruct': _reconstruct,
    'numpy.core.multiarray.scalar': _scalar,
    'numpy.core.numeric._frombuffer': _from_buffer,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        full = f'{module.replace("numpy._core", "numpy.core")}.{name}'
        if full not in _MEANT:
            raise UnsafePickleError(f'{module}.{name}, which is no array of numbers')
        return _MEANT[full]


def _tensors(node: object) -> Any:
    if isinstance(node, Mapping):
        return {key: _tensors(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_tensors(value) for value in node]
    if isinstance(node, _Array) and node.array is not None:
        array = node.array
        return torch.from_numpy(array.astype(array.dtype.newbyteorder('='), order='C'))
    if node is None or isinstance(node, (str, bytes, int, float)):
        return node
    raise UnsafePickleError(f'{type(node).__name__}, which is no array of numbers')
