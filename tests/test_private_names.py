"""What mmlogo uses of the private side of other packages, and why.

Each row is watched: a test fails on the day that a package changes what we rely on, and
another when a private name is used that has no row here.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from helpers import ROOT
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.model import ImgDataPreprocessor
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn


class Use(NamedTuple):
    """A private name, the reason for using it, and what has to hold of it."""

    files: tuple[str, ...]
    reason: str
    holds: Callable[[], bool]


def parameter() -> nn.Parameter:
    return nn.Parameter(torch.zeros(1))


def split_path() -> bool:
    """`Config.fromfile` asks this static method for every `_base_`."""
    found = Config._get_cfg_path(
        'mmpretrain::simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py', ''
    )
    return found[1] == 'mmpretrain' and found[0].endswith('.py')


def lerp() -> bool:
    x = [torch.zeros(2)]
    torch._foreach_lerp_(x, [torch.ones(2)], 0.25)
    return x[0].tolist() == [0.25, 0.25]


def shared_tensors() -> bool:
    """A module's tensors are the entries of these two dictionaries."""
    norm = nn.BatchNorm1d(2)
    return (
        norm._parameters['weight'] is norm.weight
        and norm._buffers['running_mean'] is norm.running_mean
    )


def finds_nan() -> bool:
    found = torch.zeros(1)
    gradients = [torch.ones(2), torch.tensor([3e38, float('nan')])]
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, torch.ones(1))
    return found.item() == 1 and gradients[0].tolist() == [1, 1]


USES = {
    '_get_cfg_path': Use(
        ('mmlogo/config.py',),
        'MMEngine resolves package::path for packages on a list of its own, without mmlogo',
        split_path,
    ),
    '_accumulative_counts': Use(
        (
            'mmlogo/engine/hooks/checkpoint.py',
            'mmlogo/engine/hooks/clock.py',
            'mmlogo/engine/hooks/start_report.py',
        ),
        'no public name says how many batches make an optimiser step',
        lambda: (
            OptimWrapper(
                torch.optim.SGD([parameter()], lr=1.0), accumulative_counts=3
            )._accumulative_counts
            == 3
        ),
    ),
    '_amp_foreach_non_finite_check_and_unscale_': Use(
        ('mmlogo/engine/hooks/finite.py',),
        'the one call that looks at all gradients without waiting for the GPU; '
        'torch.amp.GradScaler makes it',
        finds_nan,
    ),
    '_save_checkpoint_with_step': Use(
        ('mmlogo/engine/hooks/checkpoint.py',),
        'MMEngine removes and writes files in this method, which has no public name',
        lambda: 'popleft' in CheckpointHook._save_checkpoint_with_step.__code__.co_names,
    ),
    '_save_best_checkpoint': Use(
        ('mmlogo/engine/hooks/checkpoint.py',),
        'MMEngine removes the former best checkpoint in this method',
        lambda: 'remove' in CheckpointHook._save_best_checkpoint.__code__.co_names,
    ),
    '_exit': Use(
        (
            'mmlogo/engine/hooks/interrupt.py',
            'mmlogo/engine/waiting.py',
            'mmlogo/launch/heartbeat.py',
            'mmlogo/launch/pinned.py',
        ),
        'os._exit is documented; it ends a process whose main thread waits for ever',
        lambda: callable(os._exit),
    ),
    '_load_from': Use(
        ('mmlogo/engine/hooks/provenance.py',),
        'the Runner keeps the name of the checkpoint under this name alone',
        lambda: '_load_from' in Runner.__init__.__code__.co_names,
    ),
    '_channel_conversion': Use(
        ('mmlogo/transfer/trunk.py',),
        'the only place where a detector says whether it turns BGR to RGB',
        lambda: ImgDataPreprocessor(bgr_to_rgb=True)._channel_conversion is True,
    ),
    '_enable_normalize': Use(
        ('mmlogo/transfer/trunk.py',),
        'the only place where a detector says whether images are normalised',
        lambda: (
            ImgDataPreprocessor(mean=[1.0] * 3, std=[1.0] * 3)._enable_normalize is True
        ),
    ),
    '_foreach_lerp_': Use(
        ('mmlogo/models/parts/teacher.py',),
        'one kernel for all tensors of the teacher; torch names it privately alone',
        lerp,
    ),
    '_parameters': Use(
        ('mmlogo/models/parts/norms.py',),
        'a norm is replaced and its tensors stay, which an optimiser may hold already',
        shared_tensors,
    ),
    '_buffers': Use(
        ('mmlogo/models/parts/norms.py',),
        'a norm is replaced and its tensors stay',
        shared_tensors,
    ),
    '_backward_hooks': Use(
        ('mmlogo/checkpoints/inert.py',),
        'a tensor out of a file must bring no hooks, and torch names them privately alone',
        lambda: torch.zeros(1)._backward_hooks is None,
    ),
    '_roi_align_backward': Use(
        ('mmlogo/transfer/operators/torchvision_ops.py',),
        'torchvision has the gradient of roi_align as an operator of this name alone',
        lambda: callable(torch.ops.torchvision._roi_align_backward),
    ),
}


DOCUMENTED = ('_asdict', '_make', '_replace')  # of named tuples: public, in spite of the _


@pytest.mark.parametrize('name', USES)
def test_a_private_name_is_still_what_it_was(name):
    assert USES[name].holds(), USES[name].reason


def test_every_private_name_of_others_is_in_the_list():
    used: dict[str, set[str]] = {}
    for path in [*ROOT.glob('mmlogo/**/*.py'), *ROOT.glob('tools/*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Attribute) or not node.attr.startswith('_'):
                continue
            ours = isinstance(node.value, ast.Name) and node.value.id in ('self', 'cls')
            if not ours and not node.attr.startswith('__') and node.attr not in DOCUMENTED:
                used.setdefault(node.attr, set()).add(path.relative_to(ROOT).as_posix())
    assert used == {name: set(use.files) for name, use in USES.items()}


def test_the_loop_has_the_names_that_ours_uses():
    """`ResumableTrainLoop` reads these of its base, which has no public names for them."""
    names = EpochBasedTrainLoop.run_epoch.__code__.co_names
    names += EpochBasedTrainLoop.run.__code__.co_names
    assert {'_epoch', '_max_epochs', '_decide_current_val_interval'} <= set(names)
    assert '_iter' in EpochBasedTrainLoop.run_iter.__code__.co_names
