"""What hooks tell the model, what they refuse; the rest is in tools/test_train.py."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers import build, cgh
from mmengine.logging import MessageHub
from mmengine.optim import CosineAnnealingLR
from torch import nn

from mmlogo.engine.hooks import ClockHook, ThroughputHook
from mmlogo.engine.hooks.start_report import refuse_spent_schedules


def runner(model: nn.Module, iteration: int = 0, accumulative_counts: int = 2) -> object:
    return SimpleNamespace(
        model=model,
        iter=iteration,
        max_iters=21,
        train_dataloader=range(7),
        optim_wrapper=SimpleNamespace(_accumulative_counts=accumulative_counts),
    )


def test_parts_hear_where_the_training_stands():
    model, hook = build(cgh(teacher=dict(momentum=0.9, schedule='cosine'))), ClockHook()
    hook.before_train(runner(model))
    assert model.teacher.clock is model.ramp.clock
    clock = model.ramp.clock
    assert (clock.updates, clock.steps_per_epoch) == (11, 7)  # 21 forwards, two a step
    for iteration, update in ((0, 0), (1, 0), (2, 1), (7, 3), (20, 10)):
        hook.before_train_iter(runner(model, iteration), batch_idx=0)
        assert (clock.iteration, clock.update) == (iteration, update)
        assert clock.epoch == iteration / 7


@pytest.mark.parametrize(
    ('by_epoch', 'length', 'refused'),
    [(True, 3, False), (True, 2, True), (False, 21, False), (False, 20, True)],
)
def test_a_schedule_that_ends_too_early_is_refused(by_epoch, length, refused):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    schedule = CosineAnnealingLR(optimizer, T_max=length, by_epoch=by_epoch)
    resumed = SimpleNamespace(
        iter=4, max_epochs=3, max_iters=21, param_schedulers=[schedule]
    )
    if refused:
        unit = 'epoch 2 and training at epoch 3' if by_epoch else 'iteration 20 and'
        with pytest.raises(ValueError, match=f'CosineAnnealingLR ends at {unit}'):
            refuse_spent_schedules(resumed)
    else:
        refuse_spent_schedules(resumed)


@pytest.mark.parametrize('processes', [1, 4])
def test_images_per_second_are_of_all_processes(processes):
    hub = MessageHub('speed')
    for _ in range(3):
        hub.update_scalar('train/time', 0.5)
        hub.update_scalar('train/data_time', 0.125)
    run = SimpleNamespace(
        message_hub=hub,
        world_size=processes,
        train_dataloader=SimpleNamespace(batch_size=8),
    )
    ThroughputHook().after_train_iter(run, 0)
    assert hub.get_scalar('train/images_per_s').current() == 8 * processes / 0.5
    assert hub.get_scalar('train/data_wait').current() == 25
