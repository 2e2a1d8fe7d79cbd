"""BatchNorm's running statistics: frozen, restored, refit, averaged.

Evaluation and export normalise with running statistics, so it matters what they followed.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.models.parts.gather import process_mean


def batch_norms(*modules: nn.Module) -> list[_BatchNorm]:
    """Return every BatchNorm in the modules."""
    return [m for module in modules for m in module.modules() if isinstance(m, _BatchNorm)]


@contextmanager
def frozen_statistics(*modules: nn.Module, unless: bool = False) -> Iterator[None]:
    """Context manager. Forward passes inside it do not update running statistics.

    Args:
        modules: They hold the BatchNorms.
        unless: With True, running statistics are updated as usual. Default: False.
    """
    norms = [] if unless else batch_norms(*modules)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def restored_statistics(*modules: nn.Module) -> Iterator[list[_BatchNorm]]:
    """Context manager. It restores running statistics and momenta on exit.

    Yields:
        The BatchNorms.
    """
    norms = batch_norms(*modules)
    before = [copy.deepcopy((norm.momentum, dict(norm.named_buffers()))) for norm in norms]
    try:
        yield norms
    finally:
        with torch.no_grad():
            for norm, (momentum, buffers) in zip(norms, before, strict=True):
                norm.momentum = momentum
                for name, value in buffers.items():
                    norm.get_buffer(name).copy_(value)


@contextmanager
def refit_statistics(*modules: nn.Module) -> Iterator[Callable[[], None]]:
    """Context manager. Running statistics become the mean over the batches seen inside.

    On exit they are restored.

    Yields:
        A function to call before each batch.
    """
    with restored_statistics(*modules) as norms:
        seen = 0

        def count_batch() -> None:
            nonlocal seen
            seen += 1
            for norm in norms:
                norm.momentum = 1 / seen

        yield count_batch


@contextmanager
def averaged_statistics(*modules: nn.Module) -> Iterator[None]:
    """Context manager. Running statistics are their mean over all processes inside it.

    If BatchNorm normalises per process, every process has running statistics of its own,
    and those of one alone would not be worth saving or evaluating. On exit every process
    has its own again, so a training does not depend on when it is saved.
    """
    if get_world_size() == 1:
        yield
        return
    with restored_statistics(*modules):
        running = list(running_statistics(*modules).values())
        if running:
            with torch.no_grad():
                for mine, mean in zip(running, process_mean(running), strict=True):
                    mine.copy_(mean)
        yield


def running_statistics(*modules: nn.Module) -> dict[str, Tensor]:
    """Return the running means and variances of every BatchNorm, by their names."""
    return {
        f'{place}.{name}.{key}': value
        for place, module in enumerate(modules)
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm)
        for key, value in part.named_buffers(recurse=False)
        if value.is_floating_point()
    }
