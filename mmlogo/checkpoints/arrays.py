"""Builds NumPy arrays from a pickle without NumPy's own functions.

A pickle names the functions that build an array, and gives them its shape, its type and
its bytes. The classes of this module take the place of those functions. They take the
same arguments and check each. NumPy's own functions would also build arrays of objects,
and types whose flags the file chooses.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

import numpy as np

_NUMBER = re.compile('[<>|=]?(f[248]|[iu][1248]|b1)')


class UnsafePickleError(ValueError):
    """A pickle holds something that is not allowed in it."""


class DType:
    """Takes the place of `numpy.dtype`: a number of known size and byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if not isinstance(code, str) or not _NUMBER.fullmatch(code):
            raise UnsafePickleError(f'an array of {code!r}, which is no type of number')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        if state[1] == '>':
            self.dtype = self.dtype.newbyteorder('>')


class Array:
    """Takes the place of `numpy.ndarray`. `array` is None until `fill` is called."""

    def __init__(self, *_: object) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, content = state
        self.fill(content, dtype, shape, 'F' if is_fortran else 'C')

    def fill(self, content: object, dtype: object, shape: tuple, order: str) -> Array:
        if isinstance(content, str):  # of Python 2
            content = content.encode('latin1')
        if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, DType):
            raise UnsafePickleError('an array that is not made of bytes')
        if order not in ('C', 'F'):
            raise UnsafePickleError(f'an array laid out in order {order!r}')
        flat = np.frombuffer(content, dtype.dtype)
        self.array = flat.reshape(shape, order='F' if order == 'F' else 'C')
        return self


class Scalar(Array):
    """Takes the place of NumPy's `scalar`: one number."""


def _from_buffer(
    content: object, dtype: object, shape: tuple, order: str, *_: object
) -> Array:
    return Array().fill(content, dtype, shape, order)


def _scalar(dtype: object, content: object) -> Array:
    return Scalar().fill(content, dtype, (), 'C')


def _encode(text: str, encoding: str) -> bytes:
    if encoding != 'latin1':
        raise UnsafePickleError(f'bytes encoded as {encoding!r}')
    return text.encode('latin1')


def _no_bytes() -> bytes:
    return b''


# What stands for a name, in pickles of NumPy 1 and 2 and of every protocol.
STAND_INS: dict[str, Any] = {
    'collections.OrderedDict': OrderedDict,
    '_codecs.encode': _encode,
    # of an empty array, in the old protocols
    '__builtin__.bytes': _no_bytes,
    'builtins.bytes': _no_bytes,
    'numpy.dtype': DType,
    'numpy.ndarray': Array,
}
for _core in ('numpy.core', 'numpy._core'):
    STAND_INS |= {
        f'{_core}.multiarray._reconstruct': Array,
        f'{_core}.multiarray.scalar': _scalar,
        f'{_core}.numeric._frombuffer': _from_buffer,
    }
