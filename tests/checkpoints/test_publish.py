"""Published checkpoints: small, safe to load, and as good as what they were."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from helpers import tool, write_config

from mmlogo.checkpoints.publish import publish

BASE = 'moco_r18_cifar10'


@pytest.fixture(scope='module')
def trained(tmp_path_factory, tiny_tree) -> tuple[Path, Path]:
    """A config and the checkpoint that tools/train.py wrote of it."""
    folder = tmp_path_factory.mktemp('published')
    cfg = write_config(folder, 'my_run', BASE)
    tool('train', cfg, '--data-root', tiny_tree, '--work-dir', folder / 'w')
    return cfg, folder / 'w' / 'epoch_2.pth'


@pytest.mark.slow
def test_the_student_and_the_metadata(trained, tmp_path, capsys):
    _, path = trained
    tool('publish_model', path, tmp_path)
    (out,) = tmp_path.iterdir()
    assert str(out) in capsys.readouterr().out
    name = re.fullmatch(r'my_run_epoch_2-([0-9a-f]{8})\.pth', out.name)
    assert name[1] == hashlib.sha256(out.read_bytes()).hexdigest()[:8]
    assert torch.hub.HASH_REGEX.search(out.name)[1] == name[1]

    was = torch.load(path, weights_only=False)
    assert {'optimizer', 'message_hub', 'online_probe'} <= set(was)
    got = torch.load(out, weights_only=True)
    assert set(got) == {'meta', 'state_dict'}
    assert {key.split('.')[0] for key in got['state_dict']} == {'backbone', 'neck'}
    assert {key.split('.')[0] for key in was['state_dict']} > {'teacher', 'queue'}
    for key, value in got['state_dict'].items():
        assert torch.equal(value, was['state_dict'][key]), key
    meta = got['meta']
    assert (meta['epoch'], meta['seed'], meta['cfg']) == (2, 0, was['meta']['cfg'])
    assert meta['sha256_of_source'] == hashlib.sha256(path.read_bytes()).hexdigest()
    starts = (path.parent / 'runs.jsonl').read_text().splitlines()
    assert meta['commit'] == json.loads(starts[0])['commit']
    tool('export_backbone', path, '--to', 'mmpretrain', tmp_path / 'net.pth')
    exported = torch.load(tmp_path / 'net.pth', weights_only=True)['meta']
    assert exported['commit'] == meta['commit']

    assert publish(path, tmp_path, about=dict(mmlogo_version='9')) != out
    tool('publish_model', path, tmp_path / 'again', '--name', 'my-name')
    (again,) = (tmp_path / 'again').iterdir()
    assert again.name == f'my_name-{name[1]}.pth'  # of one content, one hash
    tool('publish_model', path, tmp_path / 'both', '--teacher')
    (both,) = (tmp_path / 'both').iterdir()
    parts = {key.split('.')[0] for key in torch.load(both, weights_only=True)['state_dict']}
    assert parts == {'backbone', 'neck', 'teacher'}


@pytest.mark.slow
def test_it_scores_and_starts_as_before(trained, tiny_tree, tmp_path):
    cfg, path = trained
    out = publish(path, tmp_path)
    scores = []
    for place, checkpoint in enumerate((path, out)):
        work = tmp_path / str(place)
        common = ('--data-root', tiny_tree, '--work-dir', work)
        tool(
            'test',
            cfg,
            checkpoint,
            *common,
        )
        scores.append(json.loads(next(work.glob('*/*.json')).read_text()))
    assert scores[0]['knn/top1_k5'] == scores[1]['knn/top1_k5']
    words = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'more', '--pretrained', out)
    tool('train', cfg, *words)
    log = next((tmp_path / 'more').glob('*/*.log')).read_text()
    assert "under 'state_dict.backbone.': 120 tensors matched; " in log


def test_values_that_are_not_plain(tmp_path):
    meta = dict(path=Path('/a'), classes=('cat', 'dog'), lr={'a': torch.tensor(1)})
    state = {'backbone.w': torch.ones(2), 'ramp.steps.count': torch.tensor(3)}
    content = dict(state_dict=state, meta=meta)
    torch.save(content, tmp_path / 'epoch_1.pth')
    out = publish(tmp_path / 'epoch_1.pth', tmp_path / 'out')
    got = torch.load(out, weights_only=True)
    assert set(got['state_dict']) == {'backbone.w'}  # of CGH's losses, a ramp is no weight
    assert got['meta']['path'] == '/a'
    assert got['meta']['classes'] == ['cat', 'dog']
    assert got['meta']['lr'] == {'a': 'tensor(1)'}


def test_what_cannot_be_published(tmp_path):
    torch.save({'conv1.weight': torch.ones(1)}, tmp_path / 'bare.pth')
    with pytest.raises(ValueError, match=r'bare\.pth has no state_dict; published are'):
        publish(tmp_path / 'bare.pth', tmp_path)
    content = dict(
        state_dict={'teacher.backbone.w': torch.ones(1), 'queue.keys': torch.ones(1)}
    )
    torch.save(content, tmp_path / 'copy.pth')
    with pytest.raises(ValueError, match=r'no tensor of a student.*keep .* with --teacher'):
        publish(tmp_path / 'copy.pth', tmp_path)
    with pytest.raises(FileNotFoundError, match='there is no checkpoint'):
        publish(tmp_path / 'none.pth', tmp_path)
