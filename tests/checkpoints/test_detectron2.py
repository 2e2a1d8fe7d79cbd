"""detectron2's names and pickles: every tensor, and nothing that runs."""

from __future__ import annotations

import os
import pickle
import pickletools
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torchvision
from mmengine.registry import init_default_scope

from mmlogo.checkpoints import match as pretrained
from mmlogo.checkpoints.detectron2 import (
    from_detectron2,
    read_pickle,
    to_detectron2,
    write_pickle,
)
from mmlogo.checkpoints.match import load_pretrained, read_tensors
from mmlogo.registry import MODELS

# written down from tools/convert-torchvision-to-d2.py of detectron2
NAMES = {
    'conv1.weight': 'stem.conv1.weight',
    'bn1.weight': 'stem.conv1.norm.weight',
    'bn1.running_var': 'stem.conv1.norm.running_var',
    'layer1.0.conv1.weight': 'res2.0.conv1.weight',
    'layer1.0.bn3.bias': 'res2.0.conv3.norm.bias',
    'layer3.22.conv2.weight': 'res4.22.conv2.weight',
    'layer4.0.downsample.0.weight': 'res5.0.shortcut.weight',
    'layer4.0.downsample.1.running_mean': 'res5.0.shortcut.norm.running_mean',
}


@pytest.mark.parametrize('name', NAMES)
def test_names(name):
    assert to_detectron2(name) == NAMES[name]
    for prefix in ('', 'model.', 'model.backbone.bottom_up.'):
        assert from_detectron2(prefix + NAMES[name]) == prefix + name


@pytest.mark.parametrize('name', ['fc.weight', 'roi_heads.res5', 'x.stem.0.weight'])
def test_other_names_stay(name):
    assert from_detectron2(name) == name


def drawn(depth: int) -> dict[str, torch.Tensor]:
    state = getattr(torchvision.models, f'resnet{depth}')().state_dict()
    return {
        name: torch.randn(value.shape)
        for name, value in state.items()
        if not name.startswith('fc.') and 'num_batches' not in name
    }


@pytest.mark.parametrize('depth', [18, 50])
def test_to_detectron2_and_back_is_equal_to_the_last_bit(depth, tmp_path):
    state = drawn(depth)
    write_pickle(tmp_path / 'net.pkl', state, dict(style='pytorch'))
    content = pickle.loads((tmp_path / 'net.pkl').read_bytes())  # as detectron2 reads it
    assert (content['__author__'], content['matching_heuristics']) == ('mmlogo', True)
    assert all(type(value) is np.ndarray for value in content['model'].values())
    assert {type(name) for name in content['model']} == {str}
    assert all(name.startswith(('stem.', 'res')) for name in content['model'])
    init_default_scope('mmlogo')
    into = MODELS.build(dict(type='ResNet', depth=depth))
    report = load_pretrained(into, tmp_path / 'net.pkl')
    assert report.prefix == 'model.'
    assert all(torch.equal(into.state_dict()[name], v) for name, v in state.items())
    assert set(report.matched) == set(state)


def test_older_numpy_can_read_what_is_written(tmp_path):
    write_pickle(tmp_path / 'net.pkl', drawn(18), {})
    used = {
        argument
        for code, argument, _ in pickletools.genops((tmp_path / 'net.pkl').read_bytes())
        if code.name == 'GLOBAL'
    }
    assert used == {'numpy.core.multiarray _reconstruct', 'numpy ndarray', 'numpy dtype'}


def test_a_trained_detector_is_found_and_doubts_are_said(tmp_path, monkeypatch):
    """Its checkpoints are torch's, and do not say where the stride is."""
    said: list[str] = []
    monkeypatch.setattr(pretrained, 'print_log', lambda text, *_: said.append(text))
    state = drawn(50)
    model = {f'backbone.bottom_up.{to_detectron2(k)}': v for k, v in state.items()}
    model['proposal_generator.rpn_head.conv.weight'] = torch.zeros(2)
    torch.save(dict(model=model, iteration=3), tmp_path / 'model_final.pth')
    init_default_scope('mmlogo')
    into = MODELS.build(dict(type='ResNet', depth=50))
    report = load_pretrained(into, tmp_path / 'model_final.pth')
    assert report.prefix == 'model.backbone.bottom_up.'
    assert all(torch.equal(into.state_dict()[name], v) for name, v in state.items())
    assert len(said) == 1
    assert 'right for STRIDE_IN_1X1 False and RGB' in said[0]
    write_pickle(tmp_path / 'ours.pkl', state, {})
    read_tensors(tmp_path / 'ours.pkl')
    assert len(said) == 1


ARRAYS = {
    'float': np.arange(6, dtype='<f4').reshape(2, 3) / 7,
    'columns first': np.asfortranarray(np.arange(6, dtype='<f8').reshape(2, 3)),
    'big endian': np.arange(4, dtype='>f4'),
    'half': np.arange(4, dtype='<f2'),
    'count': np.array(7, dtype='<i8'),
    'mask': np.array([True, False]),
    'empty': np.zeros((0, 3), '<f4'),
}


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4, 5])
def test_every_protocol(protocol, tmp_path):
    content = dict(
        model=OrderedDict(ARRAYS), author='me', scalar=np.float32(0.1), n=[1, None]
    )
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps(content, protocol))
    got = read_pickle(tmp_path / 'a.pkl')
    assert (got['author'], got['n']) == ('me', [1, None])
    assert got['scalar'].item() == np.float32(0.1)
    for name, array in ARRAYS.items():
        want = torch.from_numpy(array.astype(array.dtype.newbyteorder('=')))
        assert torch.equal(got['model'][name], want), name
        assert got['model'][name].dtype == want.dtype


def python2(arrays: dict[str, np.ndarray]) -> bytes:
    """What Python 2's cPickle writes of float32 arrays at protocol 2: bytes are str."""

    def text(value: bytes) -> bytes:
        return b'T' + struct.pack('<I', len(value)) + value

    def number(value: int) -> bytes:
        return b'J' + struct.pack('<i', value)

    out = b'\x80\x02}'
    for name, array in arrays.items():
        shape = b'(' + b''.join(number(size) for size in array.shape) + b't'
        made = b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85' + text(
            b'b'
        )
        dtype = b'cnumpy\ndtype\n' + text(b'f4') + b'K\x00K\x01\x87R'
        dtype += b'(K\x03' + text(b'<') + b'NNN' + number(-1) * 2 + b'K\x00tb'
        state = b'(K\x01' + shape + dtype + b'\x89' + text(array.tobytes()) + b't'
        out += text(name.encode()) + made + b'\x87R' + state + b'bs'
    return out + b'.'


def test_pickles_of_python_2(tmp_path):
    state = {to_detectron2(name): value.numpy() for name, value in drawn(18).items()}
    written = python2(state)
    reference = pickle.loads(written, encoding='latin1')
    assert all(np.array_equal(reference[name], value) for name, value in state.items())
    (tmp_path / 'old.pkl').write_bytes(written)
    got = read_tensors(tmp_path / 'old.pkl')
    assert len(got) == len(state)
    for name, value in got.items():
        assert torch.equal(value, torch.from_numpy(state[to_detectron2(name)])), name


class Runs:
    def __init__(self, function, *words):
        self.call = function, words

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ('what', 'text'),
    [
        (lambda path: Runs(os.mkdir, path), 'mkdir, which is no array'),
        (
            lambda path: Runs(eval, f'__import__("os").mkdir({path!r})'),
            r'eval, which is no',
        ),
        (lambda path: Runs(getattr, 'text', 'format'), 'getattr, which is no'),
        (lambda path: Runs(np.memmap, path, 'u1', 'w+', 0, (4,)), 'memmap, which is no'),
        (lambda path: np.array([Runs(os.mkdir, path)]), r"array of 'O8', which is no type"),
        (lambda path: np.zeros(2, [('x', 'f4')]), r"array of 'V4', which is no type"),
        (lambda path: {1, 2}, 'set, which is no array'),
    ],
)
@pytest.mark.parametrize('protocol', [2, 4])
def test_nothing_is_run(what, text, protocol, tmp_path):
    made = str(tmp_path / 'made')
    path = tmp_path / 'bad.pkl'
    path.write_bytes(pickle.dumps(dict(model=dict(a=what(made))), protocol))
    with pytest.raises(ValueError, match=rf'bad\.pkl was not read: it holds .*{text}'):
        read_tensors(path)
    assert not os.path.exists(made)


def test_what_torch_saved_under_that_ending(tmp_path):
    for zipped in (True, False):
        torch.save(
            dict(a=torch.ones(2)),
            tmp_path / 'a.pkl',
            _use_new_zipfile_serialization=zipped,
        )
        assert torch.equal(read_tensors(tmp_path / 'a.pkl')['a'], torch.ones(2))


def test_a_pickle_that_was_cut_off(tmp_path):
    write_pickle(tmp_path / 'net.pkl', drawn(18), {})
    content = (tmp_path / 'net.pkl').read_bytes()
    (tmp_path / 'net.pkl').write_bytes(content[:5000])
    with pytest.raises(
        ValueError, match=r'\(5,000 bytes\) cannot be read .* it may be cut'
    ):
        read_tensors(tmp_path / 'net.pkl')


def test_caffe2s_resnets_are_another_network(tmp_path):
    blobs = {'conv1_w': np.zeros(2), 'res2_0_branch2a_w': np.zeros(2)}
    (tmp_path / 'R-50.pkl').write_bytes(pickle.dumps(dict(blobs=blobs)))
    with pytest.raises(ValueError, match=r"Caffe2's names.*stride in its 1x1.*BGR"):
        read_tensors(tmp_path / 'R-50.pkl')
