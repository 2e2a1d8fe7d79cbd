"""What hooks tell the model, what they refuse; the rest is in tools/test_train.py."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from helpers import build, cgh, moco_logo, scalars, simsiam_logo, tool, write_config
from mmengine.hooks import LoggerHook
from mmengine.logging import MessageHub
from mmengine.optim import CosineAnnealingLR
from torch import nn

from mmlogo.engine.hooks import (
    ClockHook,
    CompileHook,
    MemoryFormatHook,
    StepInfoHook,
    ThroughputHook,
    throughput,
)
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
    hook = ThroughputHook()
    hook.after_train_iter(run, 0)
    assert hub.get_scalar('train/images_per_s').current() == 8 * processes / 0.5
    assert hub.get_scalar('train/data_wait').current() == 25
    assert hub.get_scalar('train/views_wait').current() == 0


def test_making_views_is_a_part_of_the_wait(monkeypatch):
    hub, model = MessageHub('views'), build(simsiam_logo())
    hub.update_scalar('train/time', 0.5)
    hub.update_scalar('train/data_time', 0.1)
    run = SimpleNamespace(
        model=model,
        message_hub=hub,
        world_size=1,
        train_dataloader=SimpleNamespace(batch_size=8),
    )
    clock = iter([1.0, 1.3, 5.0, 5.2])
    monkeypatch.setattr(throughput.time, 'perf_counter', lambda: next(clock))
    hook = ThroughputHook()
    hook.before_train(run)
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    for _ in range(2):
        hook.before_train_iter(run, 0)
        model.data_preprocessor(dict(inputs=images), False)
        hook.after_train_iter(run, 0)
    # the mean of 0.3 and 0.2 of 0.5 seconds
    assert hub.get_scalar('train/views_wait').current() == pytest.approx(50)
    assert hub.get_scalar('train/data_wait').current() == pytest.approx(20 + 50)
    hook.after_train(run)
    assert not model.data_preprocessor._forward_hooks


def test_scalars_are_read_once_per_line_of_the_log():
    hub, loader = MessageHub('scalars'), range(10)
    run = SimpleNamespace(message_hub=hub, hooks=[LoggerHook(interval=4)])
    run.train_dataloader = loader
    hook = StepInfoHook()
    hook.interval, hook.unread = 4, []

    def read() -> list[float]:
        return hub.get_scalar('train/loss').data[0].tolist()

    lengths = []
    for idx in range(10):
        hook.after_train_iter(run, idx, outputs=dict(loss=torch.tensor(float(idx))))
        lengths.append(len(read()))
    # the first at once, then the fourth, the eighth and the last of the epoch
    assert lengths == [1, 1, 1, 4, 4, 4, 4, 8, 8, 10]
    assert read() == [float(idx) for idx in range(10)]
    hook.after_train_iter(run, 0, outputs=dict(loss=torch.tensor(10.0)))
    assert len(read()) == 10
    hook.settle(run)  # before a checkpoint
    assert read()[-1] == 10


@pytest.mark.parametrize(
    'cfg', [simsiam_logo(), moco_logo(splits=2)], ids=['plain', 'split']
)
@pytest.mark.parametrize(('said', 'last'), [(None, True), (True, True), (False, False)])
def test_the_memory_format(cfg, said, last, caplog):
    model = build(cfg)
    model.data_preprocessor.channels_last = said
    weight = next(p for p in model.parameters() if p.ndim == 4)
    before = weight.clone()
    with caplog.at_level(logging.INFO):
        logger = logging.getLogger('format')
        MemoryFormatHook().before_train(SimpleNamespace(model=model, logger=logger))
    assert torch.equal(weight, before)
    assert model.data_preprocessor.channels_last is last
    assert weight.is_contiguous(memory_format=torch.channels_last) is last
    assert ('Memory format: channels_last' in caplog.text) is last


def test_no_compiler_is_an_error_before_the_first_step(monkeypatch):
    def broken(*args, **kwargs):
        raise OSError('no g++ here\nand more lines')

    monkeypatch.setattr(torch, 'compile', broken)
    run = SimpleNamespace(model=build(simsiam_logo()))
    with pytest.raises(
        RuntimeError, match=r'OSError: no g\+\+ here\). On cpu it needs a C'
    ):
        CompileHook().before_train(run)


def test_only_passes_of_a_step_are_compiled(monkeypatch):
    called = []

    def compiled(function, **options):
        def run(*args):
            called.append(function)
            return function(*args)

        return run

    monkeypatch.setattr(torch, 'compile', compiled)
    model, x = build(moco_logo(splits=1)), torch.randn(4, 3, 16, 16)
    plain = model.backbone.forward
    hook = CompileHook()
    hook.before_train(SimpleNamespace(model=model))
    called.clear()
    model.train().backbone(x)
    assert len(called) == 1
    with torch.no_grad():  # statistics are refit so
        model.backbone(x)
    model.eval().backbone(x)
    assert len(called) == 1
    model.train().teacher(x)  # without gradient by nature
    assert len(called) == 3
    model.eval().teacher(x)
    assert len(called) == 3
    hook.after_train(SimpleNamespace(model=model))
    assert model.backbone.forward == plain


def test_a_model_without_a_neck_is_compiled(monkeypatch):
    monkeypatch.setattr(torch, 'compile', lambda function, **options: function)
    model = build(simsiam_logo())
    for neck in (None, 'missing'):
        model.neck = None
        if neck == 'missing':
            del model.neck
        hook = CompileHook()
        hook.before_train(SimpleNamespace(model=model))
        assert [*hook.compiled] == [model.backbone]
        hook.after_train(SimpleNamespace(model=model))


@pytest.mark.slow
def test_a_compiled_training_has_the_losses_of_a_plain_one(tmp_path, tiny_tree):
    try:
        CompileHook.refuse_without_a_compiler(torch.device('cpu'))
    except RuntimeError as error:
        pytest.skip(str(error))
    cfg = write_config(tmp_path, 'one', 'simsiam_logo_r18_cifar10')
    losses = []
    for name, words in (('plain', []), ('compiled', ['--compile'])):
        words += ['--data-root', tiny_tree, '--work-dir', tmp_path / name]
        tool('train', cfg, *words)
        losses.append([s['loss'] for s in scalars(tmp_path / name) if 'loss' in s])
    assert losses[0]
    torch.testing.assert_close(*map(torch.tensor, losses), rtol=1e-3, atol=1e-3)
