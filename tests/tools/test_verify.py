"""tools/verify.py: a run's log comes from its code, data and checkpoints, or not."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, tool, write_config

from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.checkpoints.seal import write_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def verify():
    spec = importlib.util.spec_from_file_location('verify', ROOT / 'tools' / 'verify.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work_dir(tmp_path: Path, tiny_tree: Path) -> Path:
    cfg = write_config(tmp_path, 'run', 'simsiam_logo_r18_cifar10')
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', tmp_path / 'w')
    return tmp_path / 'w'


def verified(verify, work_dir: Path, monkeypatch, capsys, *words: str) -> tuple[int, str]:
    argv = ['verify.py', str(work_dir), '--seed', '0', '--steps', '2', *words]
    monkeypatch.setattr(sys, 'argv', argv)
    capsys.readouterr()
    code = verify.main()
    return code, capsys.readouterr().out


def test_an_honest_run_is_verified_to_the_last_bit(verify, work_dir, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in work_dir.rglob('*') if path.is_file()}
    code, text = verified(verify, work_dir, monkeypatch, capsys)
    assert code == 0, text
    assert 'VERIFIED to the last bit' in text
    assert 'steps 1 to 2, from the first step' in text
    assert 'steps 4 to 5, from epoch_1.pth' in text
    assert 'the last evaluation, from epoch_2.pth' in text
    after = {path: path.read_bytes() for path in work_dir.rglob('*') if path.is_file()}
    assert after == before


@pytest.mark.parametrize('kind', ['loss', 'knn/top1_k1'])
def test_a_changed_value_is_found(kind, verify, work_dir, monkeypatch, capsys):
    """The least change of one logged number that is executed again."""
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    row = [row for row in rows if kind in row and row['step'] in (2, 5)][-1]
    row[kind] += 1e-9
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    code, text = verified(verify, work_dir, monkeypatch, capsys)
    assert code == 1, text
    assert '1 differ, by' in text
    assert f'{kind} at step {row["step"]}' in text
    assert 'NOT VERIFIED' in text


def test_other_weights_are_found(verify, work_dir, monkeypatch, capsys):
    path = work_dir / 'epoch_2.pth'
    content = read_checkpoint(path)
    first = content['state_dict']['backbone.conv1.weight']
    first += torch.randn_like(first)
    write_checkpoint(content, path)
    code, text = verified(verify, work_dir, monkeypatch, capsys)
    assert code == 1
    assert 'the last evaluation, from epoch_2.pth' in text
    assert 'knn/' in text


def test_what_it_cannot_execute_it_says(verify, work_dir, monkeypatch, capsys):
    notes = work_dir / 'runs.jsonl'
    rows = [json.loads(line) for line in notes.read_text().splitlines()]
    rows[0]['hardware'] = 'another machine'
    notes.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    code, text = verified(verify, work_dir, monkeypatch, capsys)
    assert code == 0
    assert 'not as in the run: hardware another machine then' in text
    assert 'VERIFIED within 0.001, on another machine' in text
    rows[0]['processes'] = 2
    notes.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    assert verified(verify, work_dir, monkeypatch, capsys)[0] == 2
