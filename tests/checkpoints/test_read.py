"""The one reader: what a checkpoint holds is never run, on whatever road it comes."""

from __future__ import annotations

import _codecs
import os
import pickle
import shutil
import subprocess
import sys
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from helpers import ROOT, encoder, tool, write_config
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleLR
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader, load_checkpoint
from torch import nn

from mmlogo.checkpoints import read
from mmlogo.checkpoints.export import export_backbone
from mmlogo.checkpoints.match import load_pretrained, read_tensors
from mmlogo.checkpoints.origin import model_of, plain_config
from mmlogo.checkpoints.publish import publish
from mmlogo.checkpoints.read import read_checkpoint
from mmlogo.registry import MODELS


class Canary:
    """Its pickle asks for a function to be called, which leaves a file."""

    def __init__(self, sign: Path, function: Callable = open) -> None:
        words = {
            open: (str(sign), 'w'),
            os.mkdir: (str(sign),),
            os.system: (f'touch {sign}',),
            eval: (f'__import__("os").mkdir({str(sign)!r})',),
            subprocess.Popen: (['touch', str(sign)],),
        }
        self.call = function, words[function]

    def __reduce__(self) -> tuple:
        return self.call


# what each is called where a pickle names it, and where torch's reader does
NAMES = {
    open: r'_?io\.open',
    os.mkdir: r'posix\.mkdir',
    os.system: r'posix\.system',
    eval: r'(builtins\.)?eval',
    subprocess.Popen: r'(commands|subprocess)\.Popen',  # of Python 2 in old protocols
}
FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])


def save(content: object, path: Path, zipped: bool = True) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


# --- a checkpoint of a training, and where code could be in it -------------------------


class Run:
    """A trained run: its config, its folder, and its checkpoint's content, anew."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.data = data
        self.config = write_config(folder, 'tiny', 'simsiam_r18_cifar10')
        self.work_dir = folder / 'run'
        self.train('--work-dir', self.work_dir)
        # the config and one loss: a report of it has few charts to draw
        self.brief = folder / 'brief'
        (self.brief / '1' / 'vis_data').mkdir(parents=True)
        shutil.copy(self.work_dir / self.config.name, self.brief)
        (self.brief / '1' / 'vis_data' / 'scalars.json').write_text(
            '{"loss": 1.0, "epoch": 1, "step": 1}'
        )

    def train(self, *words: object) -> None:
        quick = ('train_cfg.max_epochs=1', 'train_cfg.val_interval=5')
        common = (self.config, '--data-root', self.data)
        tool('train', *common, *words, '--cfg-options', *quick)

    @property
    def checkpoint(self) -> Path:
        return self.work_dir / 'epoch_1.pth'

    def content(self) -> dict:
        return torch.load(self.checkpoint, map_location='cpu', weights_only=False)


@pytest.fixture(scope='module')
def run(tmp_path_factory, tiny_tree) -> Run:
    return Run(tmp_path_factory.mktemp('read'), tiny_tree)


PLACES: dict[str, Callable[[dict], dict]] = {
    'top level': lambda content: content,
    'optimizer': lambda content: content['optimizer']['state'],
    'state_dict': lambda content: content['state_dict'],
    'message_hub': lambda content: content['message_hub']['runtime_info'],
    'meta': lambda content: content['meta'],
    'param_schedulers': lambda content: content['param_schedulers'][0],
    'online_probe': lambda content: content['online_probe'],
}


def in_place(run: Run, place: str, what: object, path: Path, zipped: bool = True) -> Path:
    content = run.content()
    PLACES[place](content)['canary'] = what
    return save(content, path, zipped)


# Each road takes the run, the checkpoint and a folder for what it writes.
Road = Callable[[Run, Path, Path], object]


def tiny(**changes) -> nn.Module:
    init_default_scope('mmlogo')
    return MODELS.build(encoder(dict(type='BN')) | changes)


def build_with_init_cfg(prefix: str | None) -> Road:
    def road(run: Run, path: Path, out: Path) -> None:
        init = dict(type='Pretrained', checkpoint=str(path), prefix=prefix)
        tiny(init_cfg=init).init_weights()

    return road


def report(run: Run, path: Path, out: Path) -> None:
    """The tool prints its error."""
    said = []
    stderr, sys.stderr = sys.stderr, Namespace(write=said.append, flush=lambda: None)
    try:
        tool('report', run.brief, '--checkpoint', path, '--out', out)
    finally:
        sys.stderr = stderr
    if any(text.startswith('report: ') for text in said):
        raise ValueError(''.join(said))


QUICK: dict[str, Road] = {
    'read_checkpoint': lambda run, path, out: read_checkpoint(path),
    'load_pretrained': lambda run, path, out: load_pretrained(tiny(), path),
    'export_backbone': lambda run, path, out: export_backbone(
        path, 'mmpretrain', out / 'to.pth'
    ),
    'publish': lambda run, path, out: publish(path, out),
    'CheckpointLoader': lambda run, path, out: CheckpointLoader.load_checkpoint(str(path)),
    'load_checkpoint': lambda run, path, out: load_checkpoint(nn.Identity(), str(path)),
    "init_cfg='Pretrained'": build_with_init_cfg(None),
    "init_cfg='Pretrained' with a prefix": build_with_init_cfg('backbone.'),
}
TOOLS: dict[str, Road] = {
    'train.py --resume': lambda run, path, out: run.train(
        '--work-dir', out, '--resume', path
    ),
    'train.py load_from': lambda run, path, out: tool(
        *('train', run.config, '--data-root', run.data, '--work-dir', out),
        *('--cfg-options', f'load_from={path}', 'train_cfg.max_epochs=1'),
    ),
    'train.py --pretrained': lambda run, path, out: run.train(
        '--work-dir', out, '--pretrained', path
    ),
    'test.py': lambda run, path, out: tool(
        'test', run.config, path, '--data-root', run.data, '--work-dir', out
    ),
    'extract_features.py': lambda run, path, out: tool(
        *('extract_features', run.config, path, out / 'a.npz', '--split', 'bank'),
        *('--data-root', run.data, '--work-dir', out),
    ),
    'report.py': report,
    'export_backbone.py': lambda run, path, out: tool(
        'export_backbone', path, '--to', 'mmpretrain', out / 'to.pth'
    ),
    'publish_model.py': lambda run, path, out: tool('publish_model', path, out),
}


def refuses(road: Road, run: Run, path: Path, what: str) -> None:
    """The road raises a ValueError that names what the file holds; nothing ran."""
    sign = path.parent / 'sign'
    try:
        with pytest.raises(ValueError, match=rf'was not read: it holds {what}'):
            road(run, path, path.parent)
    finally:
        assert not sign.exists(), 'the code in the checkpoint ran'


@FORMATS
@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('road', QUICK)
@pytest.mark.slow
def test_no_code_runs(road, place, zipped, run, tmp_path):
    path = in_place(run, place, Canary(tmp_path / 'sign'), tmp_path / 'a.pth', zipped)
    refuses(QUICK[road], run, path, NAMES[open])


@pytest.mark.parametrize('road', TOOLS)
@pytest.mark.slow
def test_no_code_runs_in_a_tool(road, run, tmp_path):
    """Every place and both formats, one after the other under one name.

    A Runner formats the text of a config that names the same file once for all of them.
    """
    path = tmp_path / 'a.pth'
    for number, place in enumerate(PLACES):
        in_place(run, place, Canary(tmp_path / 'sign'), path, zipped=number % 2 == 0)
        refuses(TOOLS[road], run, path, NAMES[open])


def bare(sign: Path, folder: Path) -> Path:
    (folder / 'a.pth').write_bytes(pickle.dumps(dict(state_dict=Canary(sign))))
    return folder / 'a.pth'


def bare_pkl(sign: Path, folder: Path) -> Path:
    return bare(sign, folder).rename(folder / 'a.pkl')


def array_of_objects(sign: Path, folder: Path) -> Path:
    return save(dict(state_dict=np.array([Canary(sign)])), folder / 'a.pth')


@pytest.mark.parametrize(
    ('make', 'what'),
    [
        (bare, NAMES[open]),
        (bare_pkl, NAMES[open]),
        (array_of_objects, "an array of 'O8', which is no type of number"),
    ],
)
@pytest.mark.parametrize('road', QUICK | TOOLS)
@pytest.mark.slow
def test_no_code_runs_of_other_files(road, make, what, run, tmp_path):
    path = make(tmp_path / 'sign', tmp_path)
    refuses((QUICK | TOOLS)[road], run, path, what)


# --- the config in a checkpoint --------------------------------------------------------

MODEL = "model = dict(backbone=dict(type='ResNet', style='caffe'))\ngpu_ids = [0]\n"
CODES = {
    'a statement': "import pathlib\npathlib.Path('{sign}').mkdir()\n",
    'a call': "x = __import__('os').mkdir('{sign}')\n",
    'an import': "custom_imports = dict(imports=['evil'])\n",
    'a base': "_base_ = '{folder}/evil.py'\n",
    # text to Python, and a call when MMEngine has put in what stands for the variable
    'a variable': (
        "x = '{{{{$NOT_SET:"
        r'(?:\047+__import__("os").mkdir("{sign}")+\047|.*)'
        "}}}}'\n"
    ),
}


@pytest.fixture
def with_code(run, tmp_path, monkeypatch) -> Iterator[Callable[..., Path]]:
    """`with_code(code)`: a checkpoint whose configs are plain but for that."""
    monkeypatch.syspath_prepend(tmp_path)
    sign = tmp_path / 'sign'
    (tmp_path / 'evil.py').write_text(f'__import__("os").mkdir({str(sign)!r})\n')

    def make(name: str, model: str = MODEL) -> Path:
        code = CODES[name].format(sign=sign, folder=tmp_path)
        content = run.content()
        content['meta'] |= dict(config=model + code, cfg=model + code)
        content['message_hub']['runtime_info']['cfg'] = model + code
        return save(content, tmp_path / 'a.pth')

    yield make
    assert not sign.exists()
    assert 'evil' not in sys.modules


@pytest.mark.parametrize('road', QUICK | TOOLS)
@pytest.mark.slow
def test_code_in_a_config_does_not_run(road, run, with_code, tmp_path):
    (QUICK | TOOLS)[road](run, with_code('a statement'), tmp_path)


@pytest.mark.parametrize('code', CODES)
@pytest.mark.slow
def test_what_mmengine_runs_of_a_checkpoint_is_plain(
    code, run, with_code, tmp_path, monkeypatch
):
    """`Runner.resume` runs one text, inference without a config one of the others."""
    path = with_code(code)
    run.train('--work-dir', tmp_path / 'out', '--resume', path)
    said: list[str] = []
    monkeypatch.setattr(read, 'print_log', lambda text, *_: said.append(text))
    content = CheckpointLoader.load_checkpoint(str(path))
    info = content['message_hub']['runtime_info']
    for text in (content['meta']['config'], content['meta']['cfg'], info['cfg']):
        cfg = Config.fromstring(text, '.py')
        assert cfg.gpu_ids == [0]
    assert cfg.model.backbone.style == 'caffe'
    assert all('a.pth has a config with more than plain values' in text for text in said)
    assert len(said) == 2
    # the reader itself brings the text as it is, for those who only look at it
    assert read_checkpoint(path)['meta']['cfg'].endswith(
        CODES[code].format(sign=tmp_path / 'sign', folder=tmp_path)
    )


@pytest.mark.slow
@pytest.mark.parametrize('gpu_ids', ['[0, 1]', 'range(0, 2)'])
def test_another_number_of_gpus_is_still_said(gpu_ids, run, with_code, tmp_path):
    path = with_code('a call', f'gpu_ids = {gpu_ids}\n')
    with pytest.raises(RuntimeError, match=r'Number of GPUs .* is not\s+consistent'):
        run.train('--work-dir', tmp_path / 'out', '--resume', path)


@pytest.mark.parametrize(
    'config',
    ['gpu_ids = [print(1)]', "gpu_ids = ['{{$NOT_SET:1}}']", 'gpu_ids = 1 +', 7, None],
)
def test_a_config_without_gpu_ids(config, tmp_path):
    path = save(dict(meta=dict(config=config)), tmp_path / 'a.pth')
    text = CheckpointLoader.load_checkpoint(str(path))['meta']['config']
    assert Config.fromstring(text, '.py').gpu_ids is None


class TestPlainConfigs:
    def test_what_mmengine_writes_is_left_as_it_is(self):
        text = Config(dict(a=dict(b=[1, -2.5, (None, True)], c={'d e': {1}}))).pretty_text
        assert plain_config(text) == text
        for path in ROOT.glob('configs/*.py'):
            if '_base_' not in path.read_text():
                text = Config.fromfile(path).pretty_text
                assert plain_config(text) == text, path

    @pytest.mark.parametrize(
        'line',
        [
            'import os',
            'print(1)',
            'a = print(1)',
            'a = [print(1)]',
            'a = dict(b=print(1))',
            'a = {**print(1)}',
            'a = dict(**print(1))',
            'a = dict(b=dict.__base__)',
            'a = f"{print(1)}"',
            'a = lambda: 1',
            'a = [print(b) for b in (1, 2)]',
            'a: print(1) = 2',
            'a += 1',
            'a.b = 1',
            'a = b[print(1)] = 1',
            'dict = 1',
            'def a(x=print(1)): pass',
            'with read_base(): from .b import *',
            "_base_ = ['b.py']",
            "custom_imports = dict(imports=['b'])",
            "a = '{{ fileDirname }}'",
            "a = '{{$B:c}}'",
        ],
    )
    def test_what_is_more_than_a_plain_value_is_left_out(self, line):
        assert plain_config(f'x = 1\n{line}\ny = dict(z=2)\n') == 'x = 1\ny = dict(z=2)\n'

    def test_what_mmengine_replaces_in_a_comment_is_left_out(self):
        assert plain_config("x = '1'  # {{$B:c}}\n") == "x = '1'\n"

    @pytest.mark.parametrize('text', ['x = ', '\0', '(' * 10000, '-' * 100000 + '1'])
    def test_no_python_at_all(self, text):
        assert plain_config(text) == ''
        assert model_of(text) == {}


# --- what an attacker would try --------------------------------------------------------


class Call:
    def __init__(self, function: Callable, *words: object) -> None:
        self.call = function, words

    def __reduce__(self) -> tuple:
        return self.call


@FORMATS
@pytest.mark.parametrize('function', NAMES)
def test_what_would_run_code_is_refused_and_does_not(function, zipped, tmp_path):
    canary = Canary(tmp_path / 'sign', function)
    path = save(dict(a=torch.ones(2), canary=canary), tmp_path / 'a.pth', zipped)
    refuses(QUICK['read_checkpoint'], None, path, NAMES[function])


@pytest.mark.parametrize('name', ['__init__', '__class__', '__getattribute__', 'update'])
def test_getattr_gives_no_more_than_what_mmengine_saves(name, tmp_path):
    for kind in (HistoryBuffer, Namespace, torch.Tensor, 'text'):
        path = save(Call(getattr, kind, name), tmp_path / 'a.pth')
        refuses(QUICK['read_checkpoint'], None, path, f'getattr of {name!r}')
    path = save(Call(getattr, HistoryBuffer), tmp_path / 'a.pth')
    refuses(QUICK['read_checkpoint'], None, path, 'getattr of None')


def test_a_chain_from_the_log_to_eval_is_cut(tmp_path):
    """`getattr` of any name of HistoryBuffer, and torch's own list, lead to `eval`."""
    rebuild = torch._tensor._rebuild_from_type_v2  # calls what it is given

    def called(function: object, kind: object, *words: object) -> Call:
        return Call(rebuild, function, kind, words, None)

    find = Call(getattr, HistoryBuffer, '__getattribute__')
    kind_of = Call(getattr, HistoryBuffer, '__class__')
    a_dict = called(kind_of, kind_of, {})
    a_method = called(kind_of, kind_of, _codecs.encode)
    names = called(find, a_dict, Call(getattr, HistoryBuffer, '__init__'), '__globals__')
    builtins = called(called(find, a_method, names, 'get'), a_dict, '__builtins__')
    run_it = called(called(find, a_method, builtins, 'get'), a_method, 'eval')
    code = f'__import__("os").mkdir({str(tmp_path / "sign")!r})'
    path = save(dict(a=called(run_it, a_dict, code)), tmp_path / 'a.pth')
    for road in ('read_checkpoint', 'CheckpointLoader'):
        refuses(QUICK[road], None, path, "getattr of '__getattribute__'")
    # with MMEngine's list, torch's safe reader runs it
    theirs = torch.serialization.safe_globals([getattr, HistoryBuffer])
    with theirs, pytest.raises(AttributeError, match='NoneType'):
        torch.load(path, weights_only=True)
    assert (tmp_path / 'sign').exists()


def test_the_log_brings_no_functions_along(tmp_path):
    """MMEngine would put those of the file into a table that all logs share."""
    log = HistoryBuffer([1.0, 3.0], [1, 1])
    before = dict(HistoryBuffer._statistics_methods)
    log._statistics_methods = dict(mean=torch._utils._rebuild_tensor_v2, new=torch.Tensor)
    got = read_checkpoint(save(dict(log=log), tmp_path / 'a.pth'))['log']
    assert HistoryBuffer._statistics_methods == before
    assert got.statistics('mean') == 2


@pytest.mark.parametrize(
    ('state', 'what'),
    [
        (dict(mean=torch.Tensor), 'a HistoryBuffer that is not made of arrays'),
        (dict(_log_history=[1], _count_history=[1]), 'a HistoryBuffer that is not made'),
        (
            dict(_log_history=np.ones(2), _count_history=np.ones(1), max_length=9),
            'a HistoryBuffer of other than numbers and counts',
        ),
        (
            dict(_log_history=np.ones(1), _count_history=np.ones(1), max_length='9'),
            'a HistoryBuffer of other than numbers and counts',
        ),
    ],
)
def test_a_log_of_other_things(state, what, tmp_path):
    log = HistoryBuffer()
    log.__dict__ = state
    path = save(log, tmp_path / 'a.pth')
    refuses(QUICK['read_checkpoint'], None, path, what)


def with_attribute(node: object, name: str, value: object) -> object:
    setattr(node, name, value)
    return node


def with_hook() -> torch.Tensor:
    rebuilt = torch.ones(1).__reduce_ex__(2)
    hooks = OrderedDict({0: torch.Tensor})
    return Call(rebuilt[0], *rebuilt[1][:4], True, hooks)


@pytest.mark.parametrize(
    ('node', 'what'),
    [
        (torch._utils._rebuild_tensor_v2, r'torch\._utils\._rebuild_tensor_v2'),
        (torch.Tensor, r'torch\.Tensor'),
        (Namespace, r'argparse\.Namespace'),
        (HistoryBuffer, r'mmengine\..*HistoryBuffer'),
        (HistoryBuffer.mean, r'builtins\.getattr'),
        (np.dtype('c8'), "an array of 'c8'"),
        (slice(0, torch.Tensor), r'torch\.Tensor'),
        (Call(np.ndarray, (2,)), 'an array without content'),
        (with_hook(), 'a tensor with hooks'),
        (Namespace(a=[{1: (torch.Tensor,)}]), r'torch\.Tensor'),
        ({(1, torch.Tensor): 1}, r'torch\.Tensor'),
        ({torch.Tensor}, r'torch\.Tensor'),
        (with_attribute(OrderedDict(), '_metadata', torch.Tensor), r'torch\.Tensor'),
        (with_attribute(OrderedDict(), 'copy', 1), 'a OrderedDict with a copy of its own'),
        (with_attribute(torch.ones(1), 'cpu', 1), 'a Tensor with a cpu of its own'),
        (np.zeros(2, [('x', 'f4')]), "an array of 'V4'"),
        (np.array(['text']), "an array of 'U4'"),
        (nn.Linear(1, 1), r'torch\.nn\.modules\.linear\.Linear'),
    ],
)
@FORMATS
def test_nothing_else_comes_back(node, what, zipped, tmp_path):
    """Functions and classes that torch's reader knows are none of a checkpoint's."""
    path = save(dict(a=node), tmp_path / 'a.pth', zipped)
    refuses(QUICK['read_checkpoint'], None, path, what)


def test_storages_without_tensors(tmp_path):
    path = save(dict(a=torch.ones(1).untyped_storage()), tmp_path / 'a.pth')
    refuses(QUICK['read_checkpoint'], None, path, r'torch\.storage\.TypedStorage')


def test_a_type_of_number_cannot_be_told_to_hold_objects(tmp_path):
    """NumPy's own `__setstate__` takes flags from the file."""
    made = np.dtype('f8').__reduce__()

    class Flagged:
        def __reduce__(self) -> tuple:
            return made[0], made[1], (3, '<', None, None, None, -1, -1, 63)

    class Anything:
        def __reduce__(self) -> tuple:
            make, words, _ = np.ones(1).__reduce__()
            return make, words, (1, (1,), Flagged(), False, np.ones(1).tobytes())

    path = save(dict(a=Anything()), tmp_path / 'a.pth')
    got = read_checkpoint(path)['a']
    assert (got.dtype, got.dtype.hasobject, got.tolist()) == ('f8', False, [1])


def test_what_other_packages_call_safe_is_not_safe_here(tmp_path):
    path = save(Canary(tmp_path / 'sign', os.mkdir), tmp_path / 'a.pth')
    other = save(Call(getattr, HistoryBuffer, '__init__'), tmp_path / 'b.pth')
    theirs = [getattr, (os.mkdir, 'posix.mkdir'), Namespace]
    with torch.serialization.safe_globals(theirs):
        refuses(QUICK['read_checkpoint'], None, path, NAMES[os.mkdir])
        refuses(QUICK['read_checkpoint'], None, other, "getattr of '__init__'")
        assert {*theirs} <= {*torch.serialization.get_safe_globals()}
    assert not {*theirs} & {*torch.serialization.get_safe_globals()}


def test_programs_of_torchscript(tmp_path):
    torch.jit.script(nn.Linear(1, 1)).save(tmp_path / 'a.pth')
    refuses(QUICK['read_checkpoint'], None, tmp_path / 'a.pth', 'a program of TorchScript')


# --- what is read ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_trainings_checkpoint_comes_back_whole(run):
    """To the last bit, and of the same kinds."""

    def same(one: object, two: object, name: str) -> None:
        assert type(one) is type(two), name
        if isinstance(one, dict):
            assert list(one) == list(two), name
            for key in one:
                same(one[key], two[key], f'{name}.{key}')
            same(vars(one), vars(two), name) if hasattr(one, '__dict__') else None
        elif isinstance(one, (list, tuple)):
            assert len(one) == len(two), name
            for place, (a, b) in enumerate(zip(one, two, strict=True)):
                same(a, b, f'{name}.{place}')
        elif isinstance(one, torch.Tensor):
            assert torch.equal(one, two), name
            assert one.dtype == two.dtype, name
        elif isinstance(one, np.ndarray):
            assert np.array_equal(one, two), name
            assert (one.dtype, one.flags.writeable) == (two.dtype, two.flags.writeable)
        elif isinstance(one, HistoryBuffer):
            same(vars(one), vars(two), name)
        else:
            assert one == two, name

    want = run.content()
    assert want['message_hub']['log_scalars']
    same(read_checkpoint(run.checkpoint), want, '')
    same(CheckpointLoader.load_checkpoint(str(run.checkpoint)), want, '')


ARRAYS = {
    'float': np.arange(6, dtype='<f4').reshape(2, 3) / 7,
    'columns first': np.asfortranarray(np.arange(6, dtype='<f8').reshape(2, 3)),
    'big endian': np.arange(4, dtype='>f4'),
    'half': np.arange(4, dtype='<f2'),
    'one': np.array(7, dtype='<i8'),
    'mask': np.array([True, False]),
    'empty': np.zeros((0, 3), '<f4'),
    'a number': np.float32(0.5),
    'a truth': np.bool_(True),
}


@FORMATS
def test_logs_numbers_and_arguments_are_read(zipped, tmp_path):
    log = HistoryBuffer([1.0, 2.0], [1, 1])
    more = dict(
        log=log,
        again=[log],
        empty=HistoryBuffer(),
        args=Namespace(lr=0.1, path=Path('a/b'), more=Namespace(at=np.arange(3))),
        values=[None, 1.5, 2j, b'bytes', {1, 2}, (3, torch.float16), torch.Size([1])],
        more=[
            np.dtype('>f4'),
            slice(1, None),
            {np.int64(7): {np.int64(8)}},
            torch.device('cpu'),
        ],
    )
    arrays = dict(ARRAYS)
    path = save(dict(a=torch.ones(2), arrays=arrays, **more), tmp_path / 'a.pth', zipped)
    found = read_checkpoint(path)
    assert found['log'].mean() == 1.5
    assert found['log'] is found['again'][0]
    assert vars(found['log']).keys() == vars(HistoryBuffer()).keys()
    assert found['log'].data[0].dtype == log.data[0].dtype
    found['log'].update(3)
    assert found['empty'].data[0].shape == (0,)
    assert (found['args'].lr, found['args'].path) == (0.1, PurePosixPath('a/b'))
    assert found['args'].more.at.tolist() == [0, 1, 2]
    assert found['values'] == more['values']
    assert found['more'] == more['more']
    for name, want in arrays.items():
        got = found['arrays'][name]
        assert type(got) is type(want), name
        assert (got.dtype, got.tolist()) == (want.dtype, want.tolist()), name
        if isinstance(got, np.ndarray):
            assert got.flags.writeable
            assert got.flags.f_contiguous == want.flags.f_contiguous
    assert read_tensors(path).keys() == {'a'}


def test_what_holds_itself_is_read(tmp_path):
    node: dict = dict(list=[], args=Namespace())
    node['list'].append(node)
    node['args'].back = node
    found = read_checkpoint(save(node, tmp_path / 'a.pth'))
    assert found['list'][0] is found
    assert found['args'].back is found


def test_a_schedule_that_saves_its_function(tmp_path):
    """OneCycleLR has the function that anneals in its state."""
    parameter = nn.Parameter(torch.zeros(1))
    schedules = [
        OneCycleLR(
            torch.optim.SGD([parameter], lr=0.1),
            eta_max=1.0,
            total_steps=10,
            anneal_strategy=strategy,
        )
        for strategy in ('cos', 'linear')
    ]
    state = [schedule.state_dict() for schedule in schedules]
    assert read_checkpoint(save(state, tmp_path / 'a.pth')) == state


def test_onto_the_device_that_is_asked_for(tmp_path):
    path = save(dict(a=torch.ones(2)), tmp_path / 'a.pth')
    assert read_checkpoint(path, 'meta')['a'].device.type == 'meta'
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='meta')
    assert loaded['a'].device.type == 'meta'


@FORMATS
def test_a_file_that_was_cut_off_is_named_on_every_road(zipped, tmp_path):
    path = save(dict(state_dict=dict(a=torch.ones(5000))), tmp_path / 'a.pth', zipped)
    path.write_bytes(path.read_bytes()[:5000])
    text = r'a\.pth \(5,000 bytes\) cannot be read as a checkpoint .* it may be cut off'
    for road in QUICK.values():
        with pytest.raises(ValueError, match=text):
            road(None, path, tmp_path)


def test_no_checkpoint_at_all(tmp_path):
    path = tmp_path / 'a.pth'
    for content in (b'', b'<!DOCTYPE html>', b'PK'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r'a\.pth \(.* bytes\) cannot be read as a'):
            read_checkpoint(path)
    for road in QUICK.values():
        with pytest.raises(FileNotFoundError, match=r'there is no checkpoint .*nowhere'):
            road(None, tmp_path / 'nowhere.pth', tmp_path)


def test_another_protocol_of_pickle(tmp_path):
    torch.save(dict(a=torch.ones(1)), tmp_path / 'a.pth', pickle_protocol=3)
    assert read_checkpoint(tmp_path / 'a.pth')['a'] == 1
    torch.save(dict(a=torch.ones(1)), tmp_path / 'a.pth', pickle_protocol=4)
    with pytest.raises(ValueError, match='with a pickle_protocol above 3, or is cut off'):
        read_checkpoint(tmp_path / 'a.pth')


# --- the loaders of MMEngine -----------------------------------------------------------


def test_every_loader_is_ours():
    loaders = {loader.__module__ for loader in CheckpointLoader._schemes.values()}
    assert loaders == {'mmlogo.checkpoints.read'}


@pytest.mark.slow
def test_importing_the_models_registers_them():
    """They are below the engine and the launching of it; test_package.py has the rest."""
    code = (
        'import mmlogo.models\n'
        'from mmengine.runner import CheckpointLoader\n'
        'print({loader.__module__ for loader in CheckpointLoader._schemes.values()})\n'
    )
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env=env
    )
    assert done.stdout.splitlines()[-1] == "{'mmlogo.checkpoints.read'}", done.stderr


URLS = {
    'https://example.org/folder/a.pth?download=1': 'a.pth',
    'http://example.org/a.pth': 'a.pth',
    'torchvision://resnet50': 'resnet50-0676ba61.pth',
    'modelzoo://resnet18.imagenet1k_v1': 'resnet18-f37072fd.pth',
    'open-mmlab://detectron2/resnet50_caffe': 'resnet50_msra-5891d200.pth',
    'openmmlab://resnet50_caffe': 'resnet50_caffe-788b5fa3.pth',
}


@pytest.fixture
def downloads(tmp_path, monkeypatch) -> list[str]:
    """The URLs that were asked for; what there is, is in tmp_path/there.pth."""
    asked: list[str] = []

    def download(url: str, to: str, *_: object, **__: object) -> None:
        asked.append(url)
        Path(to).write_bytes((tmp_path / 'there.pth').read_bytes())

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    return asked


@pytest.mark.parametrize('url', URLS)
def test_what_is_downloaded_is_read_here(url, downloads, tmp_path):
    save(dict(state_dict=dict(a=torch.ones(2))), tmp_path / 'there.pth')
    for _ in range(2):  # the second time it is there
        loaded = CheckpointLoader.load_checkpoint(url)
        assert torch.equal(loaded['state_dict']['a'], torch.ones(2))
    assert len(downloads) == 1
    assert downloads[0].endswith(URLS[url] + '?download=1' * url.endswith('?download=1'))
    kept = tmp_path / 'hub' / 'checkpoints' / URLS[url]
    assert kept.is_file()
    # and what was put there is read as carefully
    save(Canary(tmp_path / 'sign'), kept)
    with pytest.raises(ValueError, match=r'was not read: it holds _?io\.open'):
        CheckpointLoader.load_checkpoint(url)
    assert not (tmp_path / 'sign').exists()


def test_a_name_that_mmengine_does_not_know(downloads):
    with pytest.raises(ValueError, match=r'did you mean torchvision://resnet50\?'):
        CheckpointLoader.load_checkpoint('torchvision://resnet5')
    assert not downloads


@pytest.mark.parametrize(
    'name',
    ['mmcls://resnet18', 'pavi://a', 's3://a', 'petrel://a', 'a:s3://b', 'a:petrel://b'],
)
def test_other_places_are_refused(name):
    with pytest.raises(ValueError, match=r'(?s)was not read.*Download the file and give'):
        CheckpointLoader.load_checkpoint(name)
