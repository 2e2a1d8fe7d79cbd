"""What is said of workers that do not deliver; tests/faults has the real ones."""

from __future__ import annotations

import threading

import pytest
import torch
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from mmlogo.engine.waiting import LoaderError, explained, share_in_workers, watched


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
            'Caught RuntimeError in DataLoader worker process 0.\nTraceback:\n  a line\n'
            'RuntimeError: unable to write to file </torch_1>: No space left on device',
            r'no room in shared memory \(RuntimeError: unable to write .*num_workers=0',
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


class Nested(Dataset):
    """Samples as ours and as those of mmpretrain."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict:
        x = torch.full((2,), float(index))
        return dict(inputs=[x, (x + 1,)], sample=DataSample(extra=x + 2), name='n')


@pytest.mark.parametrize('workers', [0, 1])
def test_workers_share_their_batches_themselves(workers):
    seen = []

    def collate(samples: list[dict]) -> dict:
        return samples[0] | dict(before=samples[0]['inputs'][0].is_shared())

    def look(batch: dict) -> dict:
        x, (y,) = batch['inputs']
        return batch | dict(shared=[t.is_shared() for t in (x, y, batch['sample'].extra)])

    loader = DataLoader(Nested(), num_workers=workers, collate_fn=collate)
    share_in_workers(loader)
    share_in_workers(loader)  # once is enough
    inner = loader.collate_fn
    assert getattr(inner, 'collate', inner) is collate
    loader.collate_fn = lambda samples: look(inner(samples))  # still in the worker
    seen = list(loader)
    assert [batch['before'] for batch in seen] == [False] * 4
    assert [batch['shared'] for batch in seen] == [[workers > 0] * 3] * 4
    assert [batch['inputs'][1][0].tolist() for batch in seen] == [
        [n + 1.0] * 2 for n in range(4)
    ]
