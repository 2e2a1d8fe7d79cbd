"""Features to a file, by the command users type."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import ROOT, tool, write_config
from mmengine.registry import init_default_scope
from PIL import Image

from mmlogo.config import load_config
from mmlogo.registry import MODELS

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A config, a checkpoint of random weights, and its model."""
    folder = tmp_path_factory.mktemp('saved')
    path = write_config(folder, 'run_extract', 'simsiam_r18_cifar10')
    cfg = load_config(str(path))
    init_default_scope('mmlogo')
    model = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=model.state_dict()), folder / 'weights.pth')
    return path, folder / 'weights.pth', model


def inputs_of(model, files) -> torch.Tensor:
    images = [torch.from_numpy(np.array(Image.open(file))) for file in files]
    images = torch.stack(images).permute(0, 3, 1, 2)
    return model.data_preprocessor(dict(inputs=images), False)['inputs']


def expected(model, files) -> torch.Tensor:
    with torch.no_grad():
        return model(inputs_of(model, files), mode='tensor')[-1].mean((2, 3))


@pytest.mark.parametrize('ending', ['npz', 'safetensors'])
def test_a_folder_of_files(ending, saved, tiny_tree, tmp_path):
    cfg, checkpoint, model = saved
    out = tmp_path / f'features.{ending}'
    work = ('--work-dir', tmp_path / 'w')
    tool('extract_features', cfg, checkpoint, out, '--folder', tiny_tree / 'test', *work)
    if ending == 'npz':
        got = np.load(out)
        names, about = got['names'].tolist(), json.loads(str(got['about']))
    else:
        pytest.importorskip('safetensors')
        from safetensors import safe_open

        with safe_open(out, 'np') as file:
            got = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            names, about = (json.loads(file.metadata()[key]) for key in ('names', 'about'))
    assert len(names) == 8
    files = [tiny_tree / 'test' / name for name in names]
    torch.testing.assert_close(torch.from_numpy(got['features']), expected(model, files))
    assert got['labels'].tolist() == [-1] * 8
    assert (about['features'], len(about['sha256'])) == ('backbone', 64)


def test_a_split_of_the_config(saved, tiny_tree, tmp_path):
    cfg, checkpoint, model = saved
    out = tmp_path / 'bank.npz'
    common = ('--data-root', tiny_tree, '--work-dir', tmp_path / 'w', '--features', 'neck')
    tool('extract_features', cfg, checkpoint, out, '--split', 'bank', *common)
    got = np.load(out)
    assert got['features'].shape == (24, 8)
    assert got['labels'].tolist() == sorted([0, 1, 2, 3] * 6)
    assert got['names'][0] == 'astronaut/0.png'
    files = [tiny_tree / 'train' / name for name in got['names']]
    with torch.no_grad():
        z = model.neck(model(inputs_of(model, files), mode='tensor'))[0]
    torch.testing.assert_close(torch.from_numpy(got['features']), z)


def test_unlabelled_images_of_mmpretrains_pipeline(saved, tiny_tree, tmp_path):
    """And retrieval and the spectrum of them, which need no labels either."""
    cfg, checkpoint, _ = saved
    text = f"""
_base_ = {str(cfg)!r}
test_dataloader = dict(
    _delete_=True,
    batch_size=3,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root={str(tiny_tree / 'test')!r},
        with_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='PackInputs'),
        ],
    ),
)
test_evaluator = [dict(type='RetrievalMetric'), dict(type='SpectrumMetric')]
"""
    unlabelled, out = tmp_path / 'unlabelled.py', tmp_path / 'x.npz'
    unlabelled.write_text(text)
    words = ('--work-dir', tmp_path / 'w')
    tool('extract_features', unlabelled, checkpoint, out, '--split', 'test', *words)
    got = np.load(out)
    assert got['labels'].tolist() == [-1] * 8
    tool('test', unlabelled, checkpoint, '--work-dir', tmp_path / 't')
    tested = json.loads(next((tmp_path / 't').glob('*/*.json')).read_text())
    assert {'retrieval/top1', 'spectrum/rank_me'} < tested.keys()


def test_two_processes_write_what_one_does(saved, tiny_tree, tmp_path):
    """To the last bit, of seven images: one process has four of them."""
    cfg, checkpoint, _ = saved
    (tmp_path / 'seven').mkdir()
    for place, file in enumerate(sorted((tiny_tree / 'test').rglob('*.png'))[:7]):
        shutil.copy(file, tmp_path / 'seven' / f'{place}.png')
    # one image a batch: rounding may differ between batches of different sizes
    words = ('--folder', tmp_path / 'seven', '--batch-size', 1, '--work-dir', tmp_path)
    tool('extract_features', cfg, checkpoint, tmp_path / 'one.npz', *words)
    words = ('tools/extract_features.py', cfg, checkpoint, tmp_path / 'two.npz', *words)
    launcher = '-m torch.distributed.run --nproc-per-node 2 --master-port 29621'
    done = subprocess.run(
        [sys.executable, *launcher.split(), *map(str, words), '--launcher', 'pytorch'],
        cwd=ROOT,
        env={
            **os.environ,
            'OMP_NUM_THREADS': '1',
            'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (np.load(tmp_path / f'{name}.npz') for name in ('one', 'two'))
    assert one['names'].tolist() == [f'{place}.png' for place in range(7)]
    assert sorted(one.files) == sorted(two.files)
    for name in one.files:
        assert np.array_equal(one[name], two[name]), name


@pytest.mark.parametrize(
    ('out', 'folder', 'error', 'text'),
    [
        ('x.csv', '.', ValueError, r'x\.csv: the file must end in one of'),
        (
            'x.npz',
            'nowhere',
            FileNotFoundError,
            '--folder nowhere: there is no such folder',
        ),
        ('x.npz', 'empty', RuntimeError, 'Found 0 files'),
    ],
)
def test_what_cannot_be_extracted(out, folder, error, text, saved, tmp_path, monkeypatch):
    cfg, checkpoint, _ = saved
    (tmp_path / 'empty').mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text):
        tool('extract_features', cfg, checkpoint, out, '--folder', folder)


def test_a_classifier_gives_its_backbones_features_without_the_configs_data(
    tiny_tree, tmp_path
):
    cfg = load_config('mmlogo::benchmarks/linear_r18w16_cifar10_5k.py')
    init_default_scope('mmlogo')
    model = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'weights.pth')
    out, name = tmp_path / 'x.npz', 'mmlogo::benchmarks/linear_r18w16_cifar10_5k.py'
    words = (name, tmp_path / 'weights.pth', out, '--folder', tiny_tree / 'test')
    tool('extract_features', *words, '--work-dir', tmp_path / 'w')
    got = np.load(out)
    with torch.no_grad():
        x = inputs_of(model, [tiny_tree / 'test' / name for name in got['names']])
        x = model.extract_feat(x, stage='backbone')[-1].mean((2, 3))
    assert got['features'].shape == (8, 128)  # and not ten scores
    torch.testing.assert_close(torch.from_numpy(got['features']), x)


def test_a_neck_that_is_not_in_the_checkpoint_is_refused(saved, tiny_tree, tmp_path):
    cfg, _, model = saved
    state = {k: v for k, v in model.state_dict().items() if k.startswith('backbone.')}
    torch.save(dict(state_dict=state), tmp_path / 'backbone.pth')
    words = (cfg, tmp_path / 'backbone.pth', tmp_path / 'x.npz', '--features', 'neck')
    with pytest.raises(ValueError, match=r'neck\..* is not in it'):
        tool('extract_features', *words, '--folder', tiny_tree / 'test')


def test_a_bad_image_is_never_skipped(saved, tiny_tree, tmp_path):
    """Else the features of another image would have its name."""
    cfg, checkpoint, _ = saved
    folder = shutil.copytree(tiny_tree / 'test', tmp_path / 'images')
    (folder / 'cat' / '6.png').write_bytes(b'')
    lenient = tmp_path / 'lenient.py'
    lenient.write_text(f"""
_base_ = {str(cfg)!r}
test_dataloader = dict(
    _delete_=True,
    batch_size=3,
    num_workers=0,
    sampler=dict(type='EpochSampler', shuffle=False),
    collate_fn=dict(type='collate_batch'),
    dataset=dict(
        type='ImageFolder',
        data_root={str(folder)!r},
        bad_samples='skip',
        pipeline=[dict(type='LoadImage'), dict(type='PackImage')],
    ),
)
test_evaluator = [dict(type='RetrievalMetric')]
""")
    words = (lenient, checkpoint, '--work-dir', tmp_path / 'w')
    with pytest.raises(OSError, match=r'cat/6\.png.*the file is empty'):
        tool(
            'extract_features',
            *words[:2],
            tmp_path / 'x.npz',
            '--split',
            'test',
            *words[2:],
        )
    tool('test', *words)
    (row,) = (tmp_path / 'w' / 'bad_samples.jsonl').read_text().splitlines()
    assert json.loads(row)['loader'] == 'test'
