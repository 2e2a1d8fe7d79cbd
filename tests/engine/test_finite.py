"""What is not finite never reaches the weights, and no good checkpoint is lost to it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers import tool, write_config
from mmengine.hooks import Hook
from torch import nn

from mmlogo.engine.hooks import FiniteHook, NotFiniteError
from mmlogo.engine.unwrap import unwrapped
from mmlogo.registry import HOOKS

PLACES = ('loss', 'term', 'image', 'weight', 'gradient')
VALUES = (float('nan'), float('inf'))


@HOOKS.register_module(force=True)
class PoisonHook(Hook):
    """Put a value into a training at one iteration, and keep the weights of before."""

    model: nn.Module
    before: dict[str, torch.Tensor]

    def __init__(self, *, place: str, value: float, at: int) -> None:
        self.place, self.value, self.at = place, value, at

    def before_train(self, runner) -> None:
        self.now = False
        model = PoisonHook.model = runner.model
        unwrapped(model).data_preprocessor.register_forward_hook(self.images)
        model.register_forward_hook(self.losses, prepend=True)
        self.parameter = next(unwrapped(model).backbone.parameters())
        self.parameter.register_hook(self.gradient)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self.now = self.now or runner.iter + 1 == self.at
        if self.now and self.place == 'weight':
            self.parameter.data[0, 0, 0, 0] = self.value
        PoisonHook.before = {k: p.clone() for k, p in runner.model.named_parameters()}

    def images(self, module, args, output):
        if self.now and self.place == 'image':
            output['inputs'][0][0, 0, 0, 0] = self.value
        return output

    def losses(self, module, args, output):
        if self.now and self.place in ('loss', 'term') and isinstance(output, dict):
            name = next(k for k in output if 'loss' in k)
            term = output[name] * self.value
            # of a term without a gradient, no gradient tells
            output[name] = term if self.place == 'loss' else term.detach()
        return output

    def gradient(self, value):
        return value * self.value if self.now and self.place == 'gradient' else value


def poisoned(
    folder: Path, tree: Path, place: str, value: float, at: int, *more: str
) -> NotFiniteError:
    """Train with a poison at an iteration, and return the error."""
    hook = dict(type='PoisonHook', place=place, value=value, at=at)
    text = repr(hook).replace('nan', "float('nan')").replace('inf', "float('inf')")
    cfg = write_config(
        folder,
        'poisoned',
        'simsiam_logo_r18_cifar10',
        f'custom_hooks = [{text}]\ntrain_cfg = dict(max_epochs=3, val_interval=9)\n'
        "default_hooks['checkpoint'] = dict(interval=1, max_keep_ckpts=1)\n"
        "default_hooks['validate_first'] = None\n",
    )
    with pytest.raises(NotFiniteError) as caught:
        tool('train', cfg, '--data-root', tree, '--work-dir', folder / 'w', *more)
    return caught.value


def refused(error: NotFiniteError, at: int, work_dir: Path) -> str:
    """Check that nothing came of a step. Return the error's text."""
    text = str(error)
    for name, p in PoisonHook.model.named_parameters():
        assert torch.equal(p.nan_to_num(), PoisonHook.before[name].nan_to_num()), name
    assert [path.name for path in work_dir.glob('*.pth')] == ['epoch_2.pth']
    assert text.startswith(f'iteration {at}, epoch 3: not finite are ')
    assert 'The samples of the batch: ' in text
    assert 'not known' not in text
    return text


@pytest.mark.slow
@pytest.mark.parametrize('value', VALUES)
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('at', [7, 9])  # the first and the last of the third epoch
def test_no_step_after_a_value_that_is_not_finite(at, place, value, tmp_path, tiny_tree):
    """Two epochs are good, and their checkpoint stays."""
    error = poisoned(tmp_path, tiny_tree, place, value, at)
    text = refused(error, at, tmp_path / 'w')
    assert f'go on from {tmp_path / "w" / "epoch_2.pth"} with --resume' in text
    if place in ('loss', 'term', 'image', 'weight'):
        assert 'losses: loss_' in text
    if place == 'weight':
        assert 'weights: backbone.' in text


@pytest.mark.slow
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('at', [7, 9])  # in an epoch, and before a checkpoint
def test_the_optimiser_skips_a_step_that_is_read_later(at, place, tmp_path, tiny_tree):
    """As on a GPU, whose decision is read one step later."""
    words = ('default_hooks.finite.wait=False', 'optim_wrapper.optimizer.fused=True')
    error = poisoned(tmp_path, tiny_tree, place, float('nan'), at, '--cfg-options', *words)
    text = refused(error, at, tmp_path / 'w')
    assert 'gradients of' not in text  # those of the step after are there by then


@pytest.mark.slow
def test_a_rate_that_is_far_too_high_ends_before_a_checkpoint(tmp_path, tiny_tree):
    cfg = write_config(tmp_path, 'fast', 'simsiam_logo_r18_cifar10')
    words = ('--cfg-options', 'optim_wrapper.optimizer.lr=1e25')
    with pytest.raises(
        NotFiniteError, match=r'iteration [23], epoch 1: .* no checkpoint yet'
    ):
        tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w', *words)
    assert not list((tmp_path / 'w').glob('*.pth'))


def hook_on(model: nn.Module, should_update=lambda: True):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    runner = SimpleNamespace(
        model=model,
        iter=4,
        epoch=0,
        work_dir='nowhere',
        optim_wrapper=SimpleNamespace(optimizer=optimizer, should_update=should_update),
    )
    hook = FiniteHook(patience=3)
    hook.before_train(runner)
    return hook, runner, optimizer


def test_steps_that_the_loss_scaling_skips_are_its_own_business():
    hook, runner, optimizer = hook_on(nn.Linear(2, 1))
    for _ in range(3):
        hook.after_train_iter(runner, 0)  # without a step
    optimizer.step()
    hook.after_train_iter(runner, 0)
    assert hook.skipped == 0
    for _ in range(3):
        hook.after_train_iter(runner, 0)
    with pytest.raises(NotFiniteError, match='skipped 4 steps in a row'):
        hook.after_train_iter(runner, 0)


def test_iterations_without_a_step_are_not_skipped_steps():
    hook, runner, _ = hook_on(nn.Linear(2, 1), should_update=lambda: False)
    for _ in range(9):
        hook.after_train_iter(runner, 0)
    assert hook.skipped == 0


def test_finite_gradients_whose_norm_overflows_are_finite():
    model = nn.Linear(2, 1, bias=False)
    _, _, optimizer = hook_on(model)
    model.weight.grad = torch.full((1, 2), 3e38)
    optimizer.step()
    model.weight.grad[0, 0] = float('nan')
    weight = model.weight.clone()
    with pytest.raises(NotFiniteError, match='gradients of weight'):
        optimizer.step()
    assert torch.equal(model.weight, weight)


def test_the_hook_listens_no_longer_than_the_training():
    model = nn.Linear(2, 1)
    hook, runner, optimizer = hook_on(model)
    hook.after_train(runner)
    model.weight.grad = torch.full((1, 2), float('nan'))
    optimizer.step()
