"""Whole trainings on a GPU that is pretended: no mix of devices, and no wait in a step."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import RUNS, scalars, tool, write_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from pretend import MixedDevicesError, Pretended, pretended_cuda
from torch import nn

from mmlogo.models.parts import affinity
from mmlogo.views import preprocessor
from mmlogo.views.apply import change_colours

# What waits for the GPU, and when.
WAITS = {
    'weight_init.py update_init_info': 'MMEngine, once before the training',
    'base_module.py init_weights': 'the same',
    'step_info.py read': 'once per line of the log',
    'runner.py <lambda>': 'when a checkpoint is saved',
    'checkpoint.py <lambda>': 'the same',
    'misc.py apply_to': 'the same, of the online probe',
    'features.py extract': 'evaluation',
    'features.py assemble': 'evaluation',
    'knn.py compute': 'evaluation',
    'linear.py <dictcomp>': 'evaluation',
    'linear.py compute': 'the same, from Python 3.12 on',
}
# mmpretrain's BYOL has MMEngine's average, which reads its counter in every step.
OF_BYOL = {'averaged_model.py update_parameters', 'ema.py avg_func'}


# mmpretrain's LARS reads two norms of every parameter in every step. It has no fused form
# that would tell the GPU not to take a step, so `FiniteHook` asks before it.
OF_LARS = {'lars.py step', 'finite.py _before_step'}


def train(base: str, folder, tree, monkeypatch, *more: str) -> dict[str, int]:
    """Train three epochs of three steps. Return the waits."""
    cfg = write_config(
        folder,
        'one',
        base,
        'train_cfg = dict(max_epochs=3, val_interval=3)\n'
        "default_hooks['validate_first'] = None\n"
        "default_hooks['logger'] = dict(interval=4)\n"
        "default_hooks['collapse'] = dict(interval=200)\n",
    )
    words = ('--data-root', tree, '--work-dir', folder / 'w')
    with pretended_cuda(monkeypatch) as waits:
        tool('train', cfg, *words, *more)
    return dict(waits)


@pytest.mark.slow
@pytest.mark.parametrize('base', RUNS)
def test_no_step_waits_for_the_gpu(base, tmp_path, tiny_tree, monkeypatch):
    waits = train(base, tmp_path, tiny_tree, monkeypatch)
    known = {*WAITS}
    known |= OF_BYOL if base == 'byol_r18_cifar10' else set()
    known |= OF_LARS if base == 'vicreg_logo_r18_cifar10' else set()
    assert set(waits) - known == set()
    steps = [row for row in scalars(tmp_path / 'w') if 'loss' in row]
    # the first of nine steps, and the last of three epochs
    assert waits['step_info.py read'] == 4, waits
    assert all(torch.tensor(row['loss']).isfinite() for row in steps)


def as_on_a_gpu(source, look, spec, normalisation):
    """`on_cpu.make_view` in the way of a GPU. Nine steps make much of a rounding."""
    mean, std, _ = normalisation
    return (change_colours(source.crops(), look, spec) - mean) / std


@pytest.mark.slow
def test_the_losses_are_those_of_the_cpu(tmp_path, tiny_tree, monkeypatch):
    """What is pretended is the device, not the training."""
    base = 'simsiam_logo_r18_cifar10'
    # what rounds otherwise
    plain = 'default_hooks.memory_format=None'
    words = (plain, 'optim_wrapper.optimizer.fused=False')
    train(base, tmp_path, tiny_tree, monkeypatch, '--cfg-options', *words)
    monkeypatch.undo()
    monkeypatch.setattr(preprocessor, 'make_view', as_on_a_gpu)
    there = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'cpu')
    tool('train', tmp_path / 'one.py', *there, '--cfg-options', plain)
    on_gpu, on_cpu = (
        [row['loss'] for row in scalars(tmp_path / name) if 'loss' in row]
        for name in ('w', 'cpu')
    )
    assert on_gpu
    assert on_gpu == pytest.approx(on_cpu, rel=1e-5)


@pytest.mark.parametrize(
    ('options', 'fused'),
    [
        (dict(type='SGD', lr=0.1), True),
        (dict(type='AdamW', lr=0.1), True),
        (dict(type='SGD', lr=0.1, fused=False), False),
        (dict(type='SGD', lr=0.1, foreach=True), None),
        (dict(type='LARS', lr=0.1), None),
    ],
)
def test_optimisers_are_fused_on_a_gpu(options, fused, monkeypatch):
    cfg = dict(type='OptimWrapper', optimizer=options)
    cfg['constructor'] = 'GroupedOptimWrapperConstructor'
    init_default_scope('mmlogo')
    model = nn.Linear(2, 1)
    on_cpu = build_optim_wrapper(model, copy.deepcopy(cfg)).optimizer
    with pretended_cuda(monkeypatch):
        on_gpu = build_optim_wrapper(model.to('cuda'), cfg).optimizer
    assert on_gpu.defaults.get('fused') is fused
    assert not on_cpu.defaults.get('fused')


class TestFaultsAreFound:
    """What would be an error or a wait on a GPU is one here."""

    def test_a_mix_of_devices(self, tmp_path, tiny_tree, monkeypatch):
        noise = affinity.normal

        def on_the_cpu(seeds, *args):
            plain = seeds.plain if isinstance(seeds, Pretended) else seeds
            return noise(plain, *args)

        monkeypatch.setattr(affinity, 'normal', on_the_cpu)
        with pytest.raises(MixedDevicesError, match=r'aten\.add'):
            train('simsiam_logo_r18_cifar10', tmp_path, tiny_tree, monkeypatch)

    @pytest.mark.parametrize(
        'wait',
        [
            lambda x: x.sum().item(),
            lambda x: float(x.sum()),
            lambda x: bool(x.sum() > 0),
            lambda x: x.cpu(),
            lambda x: x.to('cpu'),
            lambda x: x.tolist(),
            lambda x: x[x > 0],
            lambda x: (x > 0).nonzero(),
            lambda x: torch.equal(x, x),
        ],
    )
    def test_a_wait(self, wait, monkeypatch):
        with pretended_cuda(monkeypatch) as waits:
            x = torch.ones(3).to('cuda')
            assert isinstance(x * 2 + torch.zeros(3, device='cuda'), Pretended)
            assert waits == {}
            wait(x)
        assert set(waits) == {'test_pretended_gpu.py <lambda>'}

    def test_an_array_of_a_gpu_tensor(self):
        with pytest.raises(TypeError, match='cuda:0'):
            Pretended(torch.zeros(2)).numpy()
