"""What holds of every file: nothing runs code out of a file or a text."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

import pytest
from helpers import ROOT

FILES = sorted(
    path for room in ('mmlogo', 'tools', '.dev') for path in ROOT.glob(f'{room}/**/*.py')
)

# Every use of these runs, or may run, what it is given.
RUNS_CODE = {
    'builtins.__import__',
    'builtins.compile',
    'builtins.eval',
    'builtins.exec',
    'code.InteractiveInterpreter',
    'joblib.load',
    'mmengine.fileio.load',
    'mmengine.load',  # reads .pkl too
    'numpy.lib.format.read_array',
    'os.popen',
    'os.system',
    'pandas.read_pickle',
    'pickle.Unpickler',
    'pickle.load',
    'pickle.loads',
    'subprocess.getoutput',
    'subprocess.getstatusoutput',
    'torch.hub.load',
    'torch.hub.load_state_dict_from_url',
    'torch.jit.load',
    'torch.utils.model_zoo.load_url',
    'yaml.full_load',
    'yaml.load',
    'yaml.unsafe_load',
}
MODULES = {'cloudpickle', 'dill', 'marshal', 'runpy', 'shelve', '_pickle'}
METHODS = {'fromstring', '__subclasses__', '__globals__'}  # whatever stands before them

# Where one of them is used all the same, and why it runs nothing there.
ALLOWED = {
    ('mmlogo/checkpoints/detectron2.py', '_ArrayUnpickler', 'pickle.Unpickler'): (
        'its find_class knows the names of arrays alone, and gives what stands for them'
    ),
}


def names_of(tree: ast.Module) -> dict[str, str]:
    """What every name that is imported, or built in, is called where it comes from."""
    names = {name: f'builtins.{name}' for name in vars(builtins)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for part in node.names:
                first = part.name.partition('.')[0]
                names[part.asname or first] = part.name if part.asname else first
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for part in node.names:
                names[part.asname or part.name] = f'{node.module}.{part.name}'
    return names


def full_name(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, '')
    if isinstance(node, ast.Attribute):
        before = full_name(node.value, names)
        return f'{before}.{node.attr}' if before else ''
    return ''


def is_said(call: ast.Call, name: str, value: bool) -> bool:
    """Whether a call has this keyword with this very value."""
    said = {word.arg: word.value for word in call.keywords}.get(name)
    return isinstance(said, ast.Constant) and said.value is value


def find(source: str) -> Iterator[tuple[str, str]]:
    """Around it the outermost class or function, and what runs code in it."""
    tree = ast.parse(source)
    names = names_of(tree)
    for part in tree.body:
        around = getattr(part, 'name', '')
        calls = {node.func: node for node in ast.walk(part) if isinstance(node, ast.Call)}
        for node in ast.walk(part):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported = [part.name for part in node.names]
                for module in [getattr(node, 'module', None) or '', *imported]:
                    if module.partition('.')[0] in MODULES:
                        yield around, module
            elif isinstance(node, (ast.Name, ast.Attribute)):
                name, call = full_name(node, names), calls.get(node)
                if name in RUNS_CODE:
                    yield around, name
                if isinstance(node, ast.Attribute) and node.attr in METHODS:
                    yield around, node.attr
                if name in ('torch.load', 'torch.serialization.load') and not (
                    call and is_said(call, 'weights_only', True)
                ):
                    yield around, name
                if name == 'builtins.object.__new__':
                    yield around, 'object.__new__'
            if isinstance(node, ast.Call):
                for word in ('shell', 'allow_pickle'):
                    said = any(keyword.arg == word for keyword in node.keywords)
                    if said and not is_said(node, word, False):
                        yield around, word


def test_no_file_runs_code_that_it_reads():
    assert len(FILES) > 100
    found = {
        (path.relative_to(ROOT).as_posix(), around, what)
        for path in FILES
        for around, what in find(path.read_text())
    }
    assert found == set(ALLOWED)


@pytest.mark.parametrize(
    ('source', 'what'),
    [
        ('import torch; torch.load(x)', 'torch.load'),
        ('import torch as t; t.load(x, weights_only=False)', 'torch.load'),
        ('from torch import load; load(x, weights_only=y)', 'torch.load'),
        ('import torch; read = torch.load', 'torch.load'),
        ('import pickle; pickle.load(x)', 'pickle.load'),
        ('from pickle import loads as l\nl(x)', 'pickle.loads'),
        ('import pickle\nclass A(pickle.Unpickler): pass', 'pickle.Unpickler'),
        ('eval(x)', 'builtins.eval'),
        ('map(exec, x)', 'builtins.exec'),
        ('import builtins; builtins.compile(x)', 'builtins.compile'),
        ('__import__(x)', 'builtins.__import__'),
        ('import marshal', 'marshal'),
        ('from shelve import open', 'shelve'),
        ('import dill', 'dill'),
        ('import joblib; joblib.load(x)', 'joblib.load'),
        ('import numpy as np; np.load(x, allow_pickle=True)', 'allow_pickle'),
        ('import numpy as np; np.load(x, allow_pickle=y)', 'allow_pickle'),
        ('import yaml; yaml.load(x, Loader=y)', 'yaml.load'),
        ('import os; os.system(x)', 'os.system'),
        ('import subprocess; subprocess.run(x, shell=True)', 'shell'),
        ('from mmengine.config import Config; Config.fromstring(x)', 'fromstring'),
        ('import mmengine; mmengine.Config.fromstring(x)', 'fromstring'),
        ('import mmengine; mmengine.load(x)', 'mmengine.load'),
        ('import torch; torch.jit.load(x)', 'torch.jit.load'),
        ('import torch; torch.hub.load(x)', 'torch.hub.load'),
        ('object.__new__(x)', 'object.__new__'),
    ],
)
def test_the_search_finds(source, what):
    for text in (source, f'def f():\n    {source}' if '\n' not in source else source):
        assert what in [name for _, name in find(text)]


def test_the_search_leaves_the_rest_alone():
    source = (
        'import json, numpy as np, pickle, re, subprocess, torch\n'
        'torch.load(x, map_location="cpu", weights_only=True)\n'
        're.compile(x); model.eval(); pickle.dumps(x); json.loads(x); np.load(x)\n'
        'subprocess.run(x, shell=False); np.load(x, allow_pickle=False)\n'
    )
    assert not list(find(source))


@pytest.mark.parametrize('room', ['engine', 'launch', 'models'])
def test_each_of_these_registers_the_reader(room):
    """That importing it does: tests/checkpoints/test_read.py."""
    tree = ast.parse((ROOT / 'mmlogo' / room / '__init__.py').read_text())
    lines = [ast.unparse(node) for node in tree.body]
    assert 'import mmlogo.checkpoints.read' in lines
