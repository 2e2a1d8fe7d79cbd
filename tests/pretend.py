"""A GPU without one: tensors that say they are on CUDA, and are computed on the CPU.

Within `pretended_cuda()`, what is moved to 'cuda' or made there is a `Pretended`. An
operation on tensors of both devices is an error, as on a GPU. What would let Python wait
for the GPU is noted, with the function that asks for it.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

CUDA, CPU = torch.device('cuda', 0), torch.device('cpu')
# Their results have to come back, or their shape depends on values.
WAIT = {
    'aten._local_scalar_dense.default',
    'aten.equal.default',
    'aten.is_nonzero.default',
    'aten.masked_select.default',
    'aten.nonzero.default',
    'aten._unique2.default',
    'aten.unique_dim.default',
    'aten.repeat_interleave.Tensor',
    'aten.bincount.default',
}
MOVE = {'aten._to_copy.default', 'aten.copy_.default'}
# torch takes indices from the CPU for a tensor on a GPU.
INDEX = {'aten.index.Tensor', 'aten.index_put_.default', 'aten.index_put.default'}

waits: Counter[str] = Counter()


class MixedDevicesError(RuntimeError):
    """An operation has tensors of two devices."""


class Pretended(torch.Tensor):
    """A tensor of the CPU that says it is on CUDA."""

    plain: torch.Tensor

    @staticmethod
    def __new__(cls, plain: torch.Tensor) -> Pretended:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            plain.size(),
            strides=plain.stride(),
            storage_offset=plain.storage_offset(),
            dtype=plain.dtype,
            requires_grad=False,
        )
        made.plain = plain
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def __repr__(self, **_: Any) -> str:
        return f'Pretended({self.plain!r})'

    def data_ptr(self) -> int:
        return self.plain.data_ptr()

    def tolist(self) -> Any:
        note()
        return self.plain.tolist()

    def numpy(self, *_: Any, **__: Any) -> None:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class _Indexed(TorchFunctionMode):
    """Say 'cuda:0' for 'cuda': without an index, torch asks the driver for one."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def indexed(x: Any) -> Any:
            return CUDA if x == 'cuda' or x == torch.device('cuda') else x

        args = [indexed(x) if isinstance(x, (str, torch.device)) else x for x in args]
        kwargs = dict(kwargs or {})
        if kwargs.get('device') is not None:
            kwargs['device'] = indexed(kwargs['device'])
        said = map(str, (*args[1:], kwargs.get('device')))
        if (
            func in (torch.Tensor.cpu, torch.Tensor.to)
            and isinstance(args[0], Pretended)
            and (func is torch.Tensor.cpu or 'cpu' in said)
            and '/torch/optim/' not in sys._getframe(1).f_code.co_filename
        ):  # torch believes that it is on the CPU, and would do nothing
            note()
            args = (args[0].plain.detach(), *args[1:])
        return func(*args, **kwargs)


def compute(func: Any, args: tuple, kwargs: dict) -> Any:
    name = str(func)
    given = tree_flatten((args, kwargs))[0]
    ours = [x for x in given if isinstance(x, Pretended)]
    others = [x for x in given if isinstance(x, torch.Tensor) and type(x) is not Pretended]
    wanted = kwargs.get('device')
    wanted = None if wanted is None else torch.device(wanted)
    if not ours and (wanted is None or wanted.type != 'cuda'):
        kwargs.pop('pin_memory', None)
        return func(*args, **kwargs)
    if ours and name not in MOVE | INDEX and any(x.ndim for x in others):
        shapes = [tuple(x.shape) for x in others]
        raise MixedDevicesError(f'{name} has tensors of cuda and of the CPU {shapes}')
    on_cuda = bool(ours)
    if name == 'aten._to_copy.default':
        on_cuda = True  # what leaves it does not come here
    elif name == 'aten.copy_.default':
        on_cuda = isinstance(args[0], Pretended)
        # A copy to pinned memory that is not waited for would be none.
        if (
            not on_cuda
            and ours
            and not (kwargs.get('non_blocking') or args[2:3] == (True,))
        ):
            note()
    elif wanted is not None:
        on_cuda = wanted.type == 'cuda'
    elif ours and (name in WAIT or (name in INDEX and _masked(args))):
        note()
    if wanted is not None:
        kwargs = kwargs | dict(device=CPU)
    kwargs.pop('pin_memory', None)
    plain_args, plain_kwargs = tree_map_only(Pretended, lambda x: x.plain, (args, kwargs))
    out = func(*plain_args, **plain_kwargs)
    if not on_cuda:
        return out
    known = {id(x.plain): x for x in ours}  # what is changed in place stays the same object

    def wrapped(x: torch.Tensor) -> torch.Tensor:
        return known[id(x)] if id(x) in known else Pretended(x)

    return tree_map_only(torch.Tensor, wrapped, out)


def _masked(args: tuple) -> bool:
    return any(
        isinstance(x, torch.Tensor) and x.dtype in (torch.bool, torch.uint8)
        for x in args[1]
    )


def note() -> None:
    """Note the innermost function that waits, but for those of torch."""
    stack = [f for f in traceback.extract_stack() if '/torch/' not in f.filename]
    stack = [f for f in stack if Path(f.filename).name != Path(__file__).name]
    waits[f'{Path(stack[-1].filename).name} {stack[-1].name}'] += 1


class _Event:
    def record(self) -> None: ...

    def synchronize(self) -> None: ...


def _to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """Do what `nn.Module.to` does, with new parameters on another device.

    torch would put the new tensor's insides into the old parameter.
    """
    future = torch.__future__
    former = future.get_overwrite_module_params_on_conversion()
    moves = any(isinstance(x, (str, torch.device)) for x in (*args, *kwargs.values()))
    future.set_overwrite_module_params_on_conversion(moves)
    try:
        return _plain_to(module, *args, **kwargs)
    finally:
        future.set_overwrite_module_params_on_conversion(former)


_plain_to = nn.Module.to


@contextmanager
def pretended_cuda(monkeypatch) -> Iterator[Counter[str]]:
    """Context manager. MMEngine trains on a pretended GPU in it. Yields the waits."""
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
    monkeypatch.setattr(torch.cuda, 'Event', _Event)
    monkeypatch.setattr(torch.cuda, '_lazy_init', lambda: None)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'no GPU')
    monkeypatch.setattr(nn.Module, 'to', _to)
    waits.clear()
    with _Indexed(), _Factories():
        yield waits
