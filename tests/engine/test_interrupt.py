"""Which processes a signal is for; tests/faults has real trainings."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

from mmlogo.engine.hooks import InterruptHook


@pytest.fixture
def hook():
    loaders = [DataLoader([1, 2], num_workers=1) for _ in range(3)]
    evaluation = SimpleNamespace(dataloader=loaders[1], bank_dataloader=loaders[2])
    runner = SimpleNamespace(train_dataloader=loaders[0], val_loop=evaluation)
    hook = InterruptHook()
    hook.before_train(runner)
    hook.runner = runner
    yield hook
    hook.after_train(runner)


def test_this_process_only_notes_it(hook, capfd):
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0.01)
    assert hook.received == signal.SIGUSR1
    assert 'SIGUSR1: saving a checkpoint' in capfd.readouterr().err


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize('wait', [0.0, 0.5])
def test_a_fork_dies_of_it_as_it_would_without_the_hook(hook, number, wait):
    """As the processes of a pool do when it is closed: mmdet's VOC metric has one.

    Also in the moment in which it is forked, of which Python forgets signals.
    """
    fork = multiprocessing.get_context('fork')
    for _ in range(5):
        child = fork.Process(target=time.sleep, args=(60,))
        child.start()
        time.sleep(wait)
        os.kill(child.pid, number)
        child.join(10)
        assert child.exitcode == -number
    assert hook.received is None


def test_a_training_that_failed_leaves_nothing_to_the_next(hook):
    """Its handlers are still there, and they are not what comes back at the end."""
    again = InterruptHook()
    again.before_train(hook.runner)
    again.after_train(hook.runner)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize('name', ['train', 'val', 'bank'])
def test_workers_of_every_loader_ignore_it(name, hook):
    run = hook.runner
    loader = dict(
        train=run.train_dataloader,
        val=run.val_loop.dataloader,
        bank=run.val_loop.bank_dataloader,
    )[name]
    batches = iter(loader)
    next(batches)
    worker = batches._workers[0]
    os.kill(worker.pid, signal.SIGTERM)
    assert next(batches).tolist() == [2]
    assert worker.is_alive() or worker.exitcode == 0


def test_a_signal_that_does_not_exist():
    with pytest.raises(ValueError, match=r"there is no signal 'SIGNOPE'"):
        InterruptHook(signals=['SIGNOPE'])


def test_the_former_handlers_come_back(hook):
    before = dict(hook.former)
    assert set(before) == set(hook.signals)
    hook.after_train(hook.runner)
    assert {number: signal.getsignal(number) for number in before} == before
