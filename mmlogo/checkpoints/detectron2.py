"""Translates detectron2's names of the tensors of a ResNet, and reads its pickles.

Facts from detectron2 (github.com/facebookresearch/detectron2): the names of
tools/convert-torchvision-to-d2.py; the pickle of checkpoint/detection_checkpoint.py, a
dict of `model` (name to array), `__author__` and `matching_heuristics`.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmlogo.checkpoints.arrays import STAND_INS, Array, UnsafePickleError

_THEIRS = re.compile(
    r'(?:^|(?<=\.))(?:stem|res(?P<stage>[2-5])\.(?P<block>\d+))'
    r'\.(?:conv(?P<conv>[123])|shortcut)(?P<norm>\.norm)?\.(?P<tensor>\w+)$'
)
_OURS = re.compile(
    r'(?:layer(?P<stage>[1-4])\.(?P<block>\d+)\.)?'
    r'(?:(?P<kind>conv|bn)(?P<conv>[123])|downsample\.(?P<place>[01]))\.(?P<tensor>\w+)'
)


def to_detectron2(name: str) -> str:
    """Translate layer1.0.bn2.weight to res2.0.conv2.norm.weight, conv1 to stem.conv1."""
    match = _OURS.fullmatch(name)
    assert match, name
    stage, block, kind, conv, place, tensor = match.groups()
    where = f'res{int(stage) + 1}.{block}' if stage else 'stem'
    layer = f'conv{conv}' if conv else 'shortcut'
    norm = '.norm' if kind == 'bn' or place == '1' else ''
    return f'{where}.{layer}{norm}.{tensor}'


def from_detectron2(name: str) -> str:
    """Translate back, also behind a prefix. Other names stay as they are."""
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
    """Write a backbone with torchvision's names to a file for detectron2's `MODEL.WEIGHTS`.

    Floats become float32, because NumPy has no bfloat16. Counts of batches are left out,
    because detectron2 has none.
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
    """Read a pickle of names, plain values and arrays of numbers, also one of Python 2.

    Nothing that the file names is imported or called. `arrays.py` builds the arrays from
    their shapes, types and bytes. Arrays become tensors.

    Raises:
        UnsafePickleError: If the file holds anything else.
        pickle.UnpicklingError, EOFError: If the file is cut off or is not a pickle.
    """
    with Path(path).open('rb') as file:
        content = _ArrayUnpickler(file, encoding='latin1').load()
    return _tensors(content)


class _ArrayUnpickler(pickle.Unpickler):
    """Knows only the names of array functions, for which it gives those of `arrays.py`."""

    def find_class(self, module: str, name: str) -> Any:
        if f'{module}.{name}' not in STAND_INS:
            raise UnsafePickleError(f'{module}.{name}, which is no array of numbers')
        return STAND_INS[f'{module}.{name}']


def _tensors(node: object) -> Any:
    if isinstance(node, Mapping):
        return {key: _tensors(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_tensors(value) for value in node]
    if isinstance(node, Array) and node.array is not None:
        array = node.array
        return torch.from_numpy(array.astype(array.dtype.newbyteorder('='), order='C'))
    if node is None or isinstance(node, (str, bytes, int, float)):
        return node
    raise UnsafePickleError(f'{type(node).__name__}, which is no array of numbers')
