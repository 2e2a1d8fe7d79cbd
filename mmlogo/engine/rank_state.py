"""The state of a training that differs from process to process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size

from mmlogo.engine.unwrap import unwrapped
from mmlogo.models.parts.statistics import running_statistics


def rank_state(runner) -> dict[str, Any]:
    """Return what a resumed process needs beside the common checkpoint.

    It has the states of the global random generators, the gradients of a step that is
    accumulated halfway, and the running statistics of this process.
    """
    model = unwrapped(runner.model)
    halfway = not runner.optim_wrapper.should_update()
    gradients = {
        name: p.grad.detach().cpu()
        for name, p in model.named_parameters()
        if halfway and p.grad is not None
    }
    statistics = running_statistics(model) if get_world_size() > 1 else {}
    return dict(
        gradients=gradients,
        statistics={name: x.detach().cpu().clone() for name, x in statistics.items()},
        random=random_state(),
    )


def restore(runner, states: list[dict[str, Any]]) -> None:
    """Give this process the gradients and statistics that it had, unless there are others.

    Args:
        runner: The resumed runner.
        states: What `rank_state` returned on each process.
    """
    if len(states) != get_world_size():
        return
    model, state = unwrapped(runner.model), states[get_rank()]
    for name, p in model.named_parameters():
        if name in state['gradients']:
            p.grad = state['gradients'][name].to(p)
    own = running_statistics(model)
    for name, value in state['statistics'].items():
        own[name].copy_(value)


def random_state() -> dict[str, Any]:
    """Return the states of the random generators of Python, NumPy and torch."""
    cuda = torch.cuda.is_available()
    return dict(
        python=random.getstate(),
        numpy=np.random.get_state(),
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state() if cuda else None,
    )


def restore_random(state: dict[str, Any]) -> None:
    """Set the random generators to what `random_state` returned."""
    version, words, gauss = state['python']
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(state['numpy'])
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())
