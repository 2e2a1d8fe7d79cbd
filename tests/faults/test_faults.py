"""A short part of the fault injections; `.dev/faults.py` runs the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from lab import Lab, chain_of_kills, interrupted

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('faults')


@pytest.mark.parametrize('write', [False, True])
@pytest.mark.parametrize(
    ('base', 'workers', 'ranks'),
    [
        ('simsiam_logo_r18_cifar10', 0, 1),
        ('moco_logo_r18_cifar10', 2, 1),
        ('simsiam_logo_r18_cifar10', 0, 2),
    ],
)
def test_a_killed_training_ends_as_if_it_had_not_been(
    base, workers, ranks, write, folder, tmp_path
):
    lab = Lab(folder, base, workers, ranks)
    draw = random.Random(f'{base} {workers} {ranks} {write}')
    assert chain_of_kills(lab, tmp_path / 'w', 3, draw, write) == []


@pytest.mark.parametrize(
    ('base', 'workers', 'ranks', 'names'),
    [
        ('simsiam_logo_r18_cifar10', 0, 1, ['SIGTERM']),
        ('moco_logo_r18_cifar10', 2, 1, ['SIGUSR1']),
        ('simsiam_logo_r18_cifar10', 0, 2, ['SIGHUP']),
    ],
)
def test_a_signal_saves_and_ends_all_ranks_together(
    base, workers, ranks, names, folder, tmp_path
):
    lab = Lab(folder, base, workers, ranks)
    assert interrupted(lab, tmp_path / 'w', names, 7) == []
