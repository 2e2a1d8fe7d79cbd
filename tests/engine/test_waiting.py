"""What is said of workers that do not deliver; tests/faults has the real ones."""

from __future__ import annotations

import threading

import pytest

from mmlogo.engine.waiting import LoaderError, explained, watched


def test_batches_come_as_they_are():
    assert list(watched(iter(range(5)), 9.0)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ('error', 'says'),
    [
        (
            'DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that '
            "dataloader's workers are out of shared memory.",
            r'no room in shared memory .*--shm-size=8g',
        ),
        (
            'unable to allocate shared memory(shm) for file </torch_1>: No space left',
            r'no room in shared memory .*num_workers=0',
        ),
        (
            'DataLoader worker (pid 7) is killed by signal: Killed. ',
            r'pid 7\) is killed .* out of memory.*--resume',
        ),
    ],
)
def test_torchs_words_get_a_remedy(error, says):
    with pytest.raises(LoaderError, match=f'(?s){says}'), explained():
        raise RuntimeError(error)


def test_other_errors_stay():
    with pytest.raises(RuntimeError, match=r'^mat1 and mat2$') as caught, explained():
        raise RuntimeError('mat1 and mat2')
    assert type(caught.value) is RuntimeError


def test_the_watch_ends_with_the_batches():
    before = set(threading.enumerate())
    batches = watched(iter(range(5)), 9.0)
    next(batches)
    (watch,) = set(threading.enumerate()) - before
    batches.close()
    watch.join(5)
    assert not watch.is_alive()
