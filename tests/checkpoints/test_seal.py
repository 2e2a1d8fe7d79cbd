"""Checkpoints that are whole or absent, and damage that is found."""

from __future__ import annotations

import errno
import os
import random
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.fileio import get_file_backend

from mmlogo.checkpoints import seal
from mmlogo.checkpoints.newest import checkpoints_in, newest_valid
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.checkpoints.seal import (
    BACKEND,
    DamagedCheckpointError,
    check_seal,
    write_checkpoint,
    write_file,
)


def content(iteration: int = 3) -> dict:
    generator = torch.Generator().manual_seed(iteration)
    weights = {f'w{n}': torch.randn(30, 30, generator=generator) for n in range(4)}
    return dict(
        meta=dict(iter=iteration, epoch=1),
        state_dict=weights,
        optimizer={},
        message_hub={},
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / 'epoch_1.pth'
    write_checkpoint(content(), path)
    return path


def test_others_read_a_sealed_checkpoint_as_before(path):
    for options in ({}, dict(mmap=True)):
        loaded = torch.load(path, weights_only=True, **options)
        assert torch.equal(loaded['state_dict']['w3'], content()['state_dict']['w3'])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.startswith(seal.MARK)
    assert check_seal(path)


def test_every_flipped_bit_is_found(path):
    whole, draw = path.read_bytes(), random.Random(0)
    size = len(whole)
    bits = [draw.randrange(8 * size) for _ in range(100)]
    # the archive's beginning and end, and the seal itself
    bits += [*range(0, 8 * 32, 5), *range(8 * (size - 120), 8 * size, 3)]
    for bit in bits:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r'epoch_1\.pth'):
            read_checkpoint(path)


def test_every_truncation_is_found(path):
    whole, draw = path.read_bytes(), random.Random(0)
    size = len(whole)
    lengths = [draw.randrange(size) for _ in range(10)]
    lengths += [0, 1, 4, 21, 22, *range(size - 115, size)]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r'epoch_1\.pth'):
            read_checkpoint(path)


def test_the_error_says_what_to_do(path):
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(DamagedCheckpointError, match=r'is damaged: .* --resume takes the'):
        read_checkpoint(path)


def test_files_of_others_have_no_seal(tmp_path):
    torch.save(content(), tmp_path / 'plain.pth')
    torch.save(content(), tmp_path / 'old.pth', _use_new_zipfile_serialization=False)
    (tmp_path / 'short.pth').write_bytes(b'PK\3\4')
    for name in ('plain', 'old', 'short'):
        assert not check_seal(tmp_path / f'{name}.pth')
    assert read_checkpoint(tmp_path / 'plain.pth')['meta']['iter'] == 3


@pytest.mark.parametrize(
    ('function', 'share'),
    [*(('write', n / 20) for n in range(20)), ('fsync', 0.0), ('replace', 0.0)],
)
def test_a_full_disk_leaves_the_old_file_and_says_what_is_missing(
    share, function, path, monkeypatch
):
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    class Disk:
        """A file on a disk that is full after a share of what is written."""

        def __init__(self, file) -> None:
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, data: bytes) -> None:
            self.file.write(data[: int(share * len(data))])
            full()

    if function == 'write':
        plain = Path.open
        monkeypatch.setattr(Path, 'open', lambda self, *mode: Disk(plain(self, *mode)))
    else:
        monkeypatch.setattr(os, function, full)
    with pytest.raises(
        OSError, match=r'epoch_1\.pth could not be written .*bytes, and'
    ) as it:
        write_checkpoint(content(9), path)
    assert it.value.errno == errno.ENOSPC
    assert 'are missing' in str(it.value)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ['epoch_1.pth']


def test_a_file_is_never_there_in_part(path, monkeypatch):
    """At the moment of each system call, the name holds the old file or the new one."""
    old = path.read_bytes()
    new = old[::-1]
    seen = []
    for name in ('fsync', 'replace'):
        call = getattr(os, name)

        def watched(*words, call=call):
            seen.append(path.read_bytes())
            result = call(*words)
            seen.append(path.read_bytes())
            return result

        monkeypatch.setattr(os, name, watched)
    write_file(new, path)
    assert len(seen) == 6  # the file, its name, the folder
    assert set(seen) == {old, new}
    assert seen[0] == old
    assert seen[-1] == new


def test_mmengine_writes_by_name(tmp_path):
    backend = get_file_backend(backend_args=dict(backend=BACKEND))
    torch.save(content(), tmp_path / 'plain.pth')
    backend.put((tmp_path / 'plain.pth').read_bytes(), tmp_path / 'sealed.pth')
    assert check_seal(tmp_path / 'sealed.pth')
    backend.put(b'no archive', tmp_path / 'text.txt')
    assert (tmp_path / 'text.txt').read_bytes() == b'no archive'


class TestNewest:
    def test_by_iteration_over_all_kinds(self, tmp_path):
        for name, iteration in (('epoch_9', 90), ('epoch_10', 100), ('iter_97', 97)):
            write_checkpoint(content(iteration), tmp_path / f'{name}.pth')
        write_checkpoint(content(120), tmp_path / 'best_knn_epoch_12.pth')
        os.utime(tmp_path / 'epoch_9.pth')  # touched last
        assert newest_valid(tmp_path) == (tmp_path / 'epoch_10.pth', [])
        (tmp_path / 'epoch_10.pth').unlink()
        assert newest_valid(tmp_path).path == tmp_path / 'iter_97.pth'
        assert len(checkpoints_in(tmp_path)) == 2

    def test_what_is_damaged_is_passed_over_and_named(self, tmp_path):
        for number in (1, 2, 3):
            write_checkpoint(content(number), tmp_path / f'epoch_{number}.pth')
        path = tmp_path / 'epoch_3.pth'
        path.write_bytes(path.read_bytes()[:-200])
        torch.save(dict(state_dict={}), tmp_path / 'epoch_2.pth')
        found = newest_valid(tmp_path)
        assert found.path == tmp_path / 'epoch_1.pth'
        assert [p.name for p, _ in found.passed_over] == ['epoch_3.pth', 'epoch_2.pth']
        assert 'cannot be read as a checkpoint' in found.passed_over[0][1]
        assert 'has no meta, optimizer, message_hub' in found.passed_over[1][1]

    def test_an_empty_folder(self, tmp_path):
        assert newest_valid(tmp_path / 'none') == (None, [])
