"""The list of bad images, and the end of a run that has too many."""

from __future__ import annotations

import json
import logging
from types import SimpleNamespace

import pytest
import torch

from mmlogo.engine import BadSamplesHook, KNNLoop
from mmlogo.engine.hooks.bad_samples import FILE, listed


def runner(tmp_path, rank: int = 0, timestamp: str = 'now'):
    return SimpleNamespace(
        work_dir=str(tmp_path),
        timestamp=timestamp,
        rank=rank,
        logger=logging.getLogger('bad samples'),
    )


def batch(*numbers: int, limit: int = 2) -> dict:
    """A batch of three samples, of which the second has bad files before it."""
    files = [dict(name=f'{n}.jpg', index=n, error=f'{n} is bad') for n in numbers]
    report = dict(files=files, limit=limit, size=100, max_bad=0.02, folder='DIR', epoch=4)
    return dict(bad_samples=['', json.dumps(report), ''])


def names(tmp_path, run: str = 'now') -> list[tuple[str, str]]:
    return [(row['loader'], row['name']) for row in listed(tmp_path, run)]


def test_a_bad_file_is_listed_once_with_all_that_is_known(tmp_path, caplog) -> None:
    hook, run = BadSamplesHook(), runner(tmp_path, rank=1)
    for number in range(3):
        hook.before_train_iter(run, number, batch(7, 7))
    (row,) = map(json.loads, (tmp_path / FILE).read_text().splitlines())
    assert row == dict(
        event='bad_sample',
        run='now',
        loader='train',
        name='7.jpg',
        index=7,
        error='7 is bad',
        epoch=4,
        rank=1,
    )
    assert [r.message for r in caplog.records] == ['replaced by another image: 7 is bad']
    hook.after_train(run)
    assert f'1 bad images were replaced by others; {tmp_path / FILE} lists' in caplog.text


def test_every_stage_is_heard_and_counts_for_itself(tmp_path) -> None:
    hook, run = BadSamplesHook(), runner(tmp_path)
    for stage in ('train', 'bank', 'val', 'test'):
        getattr(hook, f'before_{stage}_iter')(run, 0, batch(1, 2))
    stages = ('train', 'bank', 'val', 'test')
    assert names(tmp_path) == [(s, f'{n}.jpg') for s in stages for n in (1, 2)]


@pytest.mark.parametrize(
    'data', [None, [], dict(inputs=0), dict(bad_samples=['', '']), ('inputs',)]
)
def test_without_bad_files_there_is_no_list(tmp_path, data) -> None:
    hook, run = BadSamplesHook(), runner(tmp_path)
    hook.before_train_iter(run, 0, data)
    hook.after_train(run)
    assert not (tmp_path / FILE).exists()
    assert listed(tmp_path, 'now') == []


def test_beyond_the_limit_the_run_ends(tmp_path) -> None:
    hook, run = BadSamplesHook(), runner(tmp_path)
    hook.before_train_iter(run, 0, batch(1, 2))
    hook.before_train_iter(run, 1, batch(2))
    message = (
        r'3 images of train_dataloader are bad, and max_bad=0\.02 of 100 images allows 2; '
        r'.*bad_samples\.jsonl lists them, the last is: 3 is bad; repair or remove the '
        r'files \(tools/check_data\.py DIR names all\), or raise max_bad'
    )
    with pytest.raises(OSError, match=message):
        hook.before_train_iter(run, 2, batch(3))
    assert len(names(tmp_path)) == 3  # the last is in the list too


def test_the_files_of_all_processes_are_listed_once_and_count_together(tmp_path) -> None:
    ranks = [(BadSamplesHook(), runner(tmp_path, rank)) for rank in range(2)]
    for (hook, run), number in zip(ranks, (1, 2), strict=True):
        hook.before_train_iter(run, 0, batch(number))
    hook, run = ranks[1]
    hook.before_train_iter(run, 1, batch(1))  # rank 0 has listed it
    assert names(tmp_path) == [('train', '1.jpg'), ('train', '2.jpg')]
    assert [row['rank'] for row in listed(tmp_path, 'now')] == [0, 1]
    with pytest.raises(OSError, match='3 images of train_dataloader are bad'):
        hook.before_train_iter(run, 2, batch(3))


def test_what_another_process_listed_since_is_not_listed_again(tmp_path) -> None:
    ranks = [(BadSamplesHook(), runner(tmp_path, rank)) for rank in range(2)]
    for rank, number in ((0, 1), (1, 2), (0, 3), (1, 3)):
        hook, run = ranks[rank]
        hook.before_train_iter(run, 0, batch(number, limit=9))
    assert [name for _, name in names(tmp_path)] == ['1.jpg', '2.jpg', '3.jpg']


def test_of_processes_that_write_at_once_the_last_sees_all(tmp_path, monkeypatch) -> None:
    hook, append = BadSamplesHook(), BadSamplesHook._append
    other = runner(tmp_path, rank=1)

    def together(self, run, loader, file) -> None:
        append(
            BadSamplesHook(), other, loader, dict(name='1.jpg', index=1, error='', epoch=4)
        )
        append(self, run, loader, file)

    monkeypatch.setattr(BadSamplesHook, '_append', together)
    with pytest.raises(OSError, match='2 images of train_dataloader are bad'):
        hook.before_train_iter(runner(tmp_path), 0, batch(2, limit=1))


def test_a_new_start_counts_anew_and_a_cut_line_is_left_out(tmp_path) -> None:
    BadSamplesHook().before_train_iter(runner(tmp_path), 0, batch(1, 2))
    BadSamplesHook().before_train_iter(runner(tmp_path, timestamp='later'), 0, batch(1, 3))
    assert [name for _, name in names(tmp_path, 'later')] == ['1.jpg', '3.jpg']
    with (tmp_path / FILE).open('a') as file:
        file.write('{"run": "lat')
    assert len(names(tmp_path, 'later')) == 2


def test_a_bank_is_heard(tmp_path) -> None:
    """MMEngine has no hook for it, so `KNNLoop` calls one of its own."""
    hook, run = BadSamplesHook(), runner(tmp_path)
    calls = []

    def call_hook(name: str, **kwargs) -> None:
        calls.append(name)
        getattr(hook, name)(run, **kwargs)

    run.call_hook = call_hook
    run.model = SimpleNamespace(data_preprocessor=lambda *_: dict(inputs=torch.zeros(3)))
    loop = SimpleNamespace(runner=run, fp16=False)
    index = torch.arange(3)
    data = dict(inputs=index, sample_idx=index, gt_label=index, **batch(1))
    KNNLoop.collect(loop, [data], [], report=False)
    assert calls == ['before_bank_iter']
    assert names(tmp_path) == [('bank', '1.jpg')]
