"""Says what a checkpoint may hold beside tensors, and builds it without running anything.

While a file is read, a small class of this module takes the place of each name in it, and
keeps what the file gives. Afterwards `finish` checks all of it, builds the real objects,
and refuses the rest.
"""

from __future__ import annotations

from argparse import Namespace
from collections import Counter, OrderedDict
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler import OneCycleParamScheduler
from torch import Tensor, nn

from mmlogo.checkpoints import arrays
from mmlogo.checkpoints.arrays import Array, DType, Scalar, UnsafePickleError

_VALUES = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    bytearray,
    PurePosixPath,
    torch.Size,
    torch.device,
    torch.dtype,
    torch.layout,
    torch.qscheme,
)


class _Kept:
    """Keeps the state that a file gives an object."""

    state: Any = None

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Log(_Kept):
    """Takes the place of MMEngine's `HistoryBuffer`.

    The `__setstate__` of the real class would put functions from the file into a table.
    """

    def made(self) -> HistoryBuffer:
        state = self.state if isinstance(self.state, dict) else {}
        log, count = (
            _numbers(state.get(name)) for name in ('_log_history', '_count_history')
        )
        length = state.get('max_length')
        if log.shape != count.shape or type(length) is not int:
            raise UnsafePickleError('a HistoryBuffer of other than numbers and counts')
        return HistoryBuffer(log, count, length)  # type: ignore[arg-type]


class _Arguments(_Kept):
    """Takes the place of `argparse.Namespace`, in which releases keep their arguments."""


class _OneCycle(_Kept):
    """Takes the place of the schedule whose state names a function of its own."""


# The functions that a checkpoint may name, by their class. A log names its statistics. They
# are left out, because MMEngine puts them there anew.
_FUNCTIONS: dict[type, dict[str, Any]] = {
    _Log: dict.fromkeys(('min', 'max', 'mean', 'current')),
    _OneCycle: {
        name: getattr(OneCycleParamScheduler, name)
        for name in ('_annealing_cos', '_annealing_linear')
        if hasattr(OneCycleParamScheduler, name)
    },
}


class _Function:
    """Takes the place of `getattr`, by which a pickle names the function of a class.

    The real `getattr` would lead from a class to every function that there is.
    """

    def __init__(self, kind: object = None, name: object = None, *_: object) -> None:
        for known, functions in _FUNCTIONS.items():
            if kind is known and isinstance(name, str) and name in functions:
                self.function = functions[name]
                return
        raise UnsafePickleError(f'getattr of {name!r}')


def _path(*parts: object) -> PurePosixPath:
    """Take the place of `pathlib.PosixPath`, which Windows does not have."""
    if not all(isinstance(part, str) for part in parts):
        raise UnsafePickleError('a path that is not made of text')
    return PurePosixPath(*parts)  # type: ignore[arg-type]


# What takes the place of a name, in addition to the names that torch's safe reader knows.
STAND_INS: dict[str, Any] = arrays.STAND_INS | {
    'mmengine.logging.history_buffer.HistoryBuffer': _Log,
    'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler': _OneCycle,
    'builtins.getattr': _Function,
    'builtins.slice': slice,  # on MMEngine's list, too
    'argparse.Namespace': _Arguments,
    'pathlib.PosixPath': _path,
    'pathlib._local.PosixPath': _path,  # of Python 3.13
}


def finish(content: object) -> Any:
    """Put the real objects in the places of the stand-ins.

    Dictionaries and lists are changed in place. An object that is in several places stays
    one object.

    Raises:
        UnsafePickleError: If there is anything else than tensors, arrays of numbers, plain
            values, MMEngine's log and arguments, such as a function or a class.
    """
    return _finish(content, {})


def _finish(node: Any, done: dict[int, tuple[Any, Any]]) -> Any:
    kind = type(node)
    if kind in _VALUES:
        return node
    if id(node) in done:
        return done[id(node)][1]

    def keep(made: Any) -> Any:
        done[id(node)] = node, made  # with the node, or another could have its id
        return made

    if kind in (dict, OrderedDict, Counter):
        keep(node)
        _finish_attributes(node, done)  # first: one could be called `clear`
        made = [(_finish(name, done), _finish(node[name], done)) for name in node]
        node.clear()
        for name, value in made:
            node[name] = value
        return node
    if kind is list:
        keep(node)
        node[:] = [_finish(value, done) for value in node]
        return node
    if kind is tuple:
        return keep(tuple(_finish(value, done) for value in node))
    if kind is set:
        return keep({_finish(value, done) for value in node})
    if kind is slice:
        parts = (node.start, node.stop, node.step)
        return keep(slice(*(_finish(part, done) for part in parts)))
    if kind in (Tensor, nn.Parameter):
        if node._backward_hooks:
            raise UnsafePickleError('a tensor with hooks')
        keep(node)
        _finish_attributes(node, done)
        return node
    if kind is DType:
        return keep(node.dtype)
    if kind is Scalar:
        return keep(_filled(node)[()])
    if kind is Array:
        return keep(_filled(node).copy(order='K'))  # what stands on bytes is read-only
    if kind is _Log:
        return keep(node.made())
    if kind is _Arguments:
        arguments = keep(Namespace())
        vars(arguments).update(node.state or {})
        _finish_attributes(arguments, done)
        return arguments
    if kind is _Function and node.function is not None:
        return keep(node.function)
    raise UnsafePickleError(_name_of(node))


def _finish_attributes(node: Any, done: dict[int, tuple[Any, Any]]) -> None:
    attributes = getattr(node, '__dict__', {})  # an OrderedDict has some, a dict has none
    for name, value in attributes.items():
        if hasattr(type(node), name):
            raise UnsafePickleError(f'a {type(node).__name__} with a {name} of its own')
        attributes[name] = _finish(value, done)


def _numbers(node: object) -> np.ndarray:
    if not isinstance(node, Array):
        raise UnsafePickleError('a HistoryBuffer that is not made of arrays')
    return _filled(node)


def _filled(node: Array) -> np.ndarray:
    if node.array is None:
        raise UnsafePickleError('an array without content')
    return node.array


def _name_of(node: Any) -> str:
    for name, stand_in in STAND_INS.items():
        if node is stand_in or (isinstance(stand_in, type) and type(node) is stand_in):
            return name
    named = node if isinstance(node, type) or hasattr(node, '__qualname__') else type(node)
    return f'{named.__module__}.{named.__qualname__}'
