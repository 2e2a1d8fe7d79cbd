"""Loading configs, and reading those of runs as text.

`mmlogo::name.py` names a config of ours from any folder.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Container, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import get_installed_path

PREFIX = 'mmlogo::'
INSTALL_MMDET = "pip install -c requirements/constraints.txt -e '.[detection]'"
# MMEngine writes infinity as `inf`, which its own reader does not know.
_NUMBERS = {'inf': float('inf'), 'nan': float('nan')}
_TAKEN = ('_base_', 'dict', *_NUMBERS)  # names that no line may give to another value
# What Python says of a text that it cannot parse, a very deep one among them.
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)


def configs_folder() -> Path:
    """Return the folder of our configs: `.mim/configs` of a wheel, or beside the source.

    Raises:
        FileNotFoundError: If there is neither.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / '.mim' / 'configs', package.parent / 'configs'):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f'the configs of mmlogo are missing beside {package}; reinstall mmlogo'
    )


def config_path(name: str) -> Path:
    """Return the file of a config.

    Args:
        name: A path, `mmlogo::name.py`, or a config of another package, such as
            `mmdet::folder/name.py`.

    Raises:
        FileNotFoundError: If there is no such file. The message has the closest name.
        ModuleNotFoundError: If the package is not installed.
        ValueError: If MMEngine does not know the package.
    """
    inside = name.startswith(PREFIX)
    if '::' in name and not inside:
        return Path(_with_ours(Config._get_cfg_path)(name, '')[0])
    path = configs_folder() / name.removeprefix(PREFIX) if inside else Path(name)
    if not path.is_file():
        names = [
            str(p.relative_to(configs_folder())) for p in configs_folder().rglob('*.py')
        ]
        near = get_close_matches(path.name, names, 1)
        hint = f"; did you mean '{PREFIX}{near[0]}'?" if near else ''
        raise FileNotFoundError(f'there is no config {name!r}{hint}')
    return path


def _with_ours(get_path: Callable[[str, str], tuple]) -> Callable[[str, str], tuple]:
    """Extend MMEngine's look-up of configs by `mmlogo::` names and by helpful errors."""

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        if cfg_path.startswith(PREFIX):
            # The scope is None, because our configs set default_scope. With a scope,
            # MMEngine would pass `_scope_` to collate functions, which refuse it.
            return str(config_path(cfg_path)), None
        package, _, inside = cfg_path.partition('::')
        try:
            return get_path(cfg_path, filename)
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f'{cfg_path} is a config of {package}, which is not installed'
                + (f'; {INSTALL_MMDET}' if package == 'mmdet' else '')
            ) from error
        except AssertionError as error:  # not on MMEngine's list
            raise ValueError(
                f'{cfg_path} names a config of {package!r}, and MMEngine knows no such '
                "package; write 'mmdet::...', 'mmpretrain::...' or a path"
            ) from error
        except FileNotFoundError as error:
            folder = Path(get_installed_path(package)) / '.mim' / 'configs'
            names = [path.relative_to(folder).as_posix() for path in folder.rglob('*.py')]
            near = get_close_matches(inside, names, 1)
            hint = f"; did you mean '{package}::{near[0]}'?" if near else ''
            raise FileNotFoundError(f'{package} has no config {inside!r}{hint}') from error

    return get_cfg_path


class FormattedOnce(Config):
    """A config whose text is formatted once for every state that it is in.

    MMEngine asks for the text five times when a training starts, and for every checkpoint.
    """

    @property
    def pretty_text(self) -> str:
        state = repr(self.to_dict())
        if state not in _FORMATTED:
            _FORMATTED.clear()
            _FORMATTED[state] = super().pretty_text
        return _FORMATTED[state]


_FORMATTED: dict[str, str] = {}  # the last config's


def load_config(name: str) -> Config:
    """Load a config from a path or a `mmlogo::` name. `_base_` may have such names too.

    MMEngine resolves `package::path` only for packages on a list of its own
    (`MODULE2PACKAGE`), and only for paths with a folder. Our configs have no folder.
    `Config` calls its static method by the name of the class, so a subclass could not
    replace it. Therefore we replace the method itself while a file is read.

    Args:
        name: A path, `mmlogo::name.py`, or a config of another package.

    Raises:
        FileNotFoundError: If there is no such file. The message has the closest name.
        ModuleNotFoundError: If the package is not installed.
        ValueError: If MMEngine does not know the package.
    """
    original = Config._get_cfg_path
    Config._get_cfg_path = staticmethod(_with_ours(original))
    try:
        found = Config.fromfile(str(config_path(name)))
    finally:
        Config._get_cfg_path = staticmethod(original)
    cfg = FormattedOnce()
    cfg.__setstate__(found.__getstate__())
    return cfg


def read_config(path: str | os.PathLike) -> Config:
    """Read the config in a work dir as text. Nothing in it is run, and nothing imported.

    MMEngine writes there the config of a run with its bases filled in. Such a file gives
    names to plain values: numbers, texts, None, and lists, tuples, sets and dictionaries
    of these. A class in a config, which MMEngine writes as `torch.optim.sgd.SGD`, becomes
    the text of its name.

    Args:
        path: The file.

    Returns:
        The values that `load_config` would return.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file holds anything else. The message names the line.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding='utf-8')
        lines = ast.parse(text).body
    except _UNREADABLE as error:
        why = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f'{path} is no config: it cannot be parsed as Python ({why}); give a work dir '
            'as tools/train.py left it'
        ) from None
    values: dict[str, Any] = {}
    for line in lines:
        try:
            values |= _assigned(line, values)
        except _UNREADABLE:
            words = ' '.join((ast.get_source_segment(text, line) or '').split())
            words = words if len(words) <= 60 else f'{words[:57]}...'
            raise ValueError(
                f'{path}, line {line.lineno}, is more than a name and a plain value: '
                f'{words}; a config in a work dir is read as text and not run, because it '
                'may come from anyone; give a work dir as tools/train.py left it, whose '
                'config has plain values only'
            ) from None
    try:
        return Config(values, cfg_text=text, filename=str(path))
    except KeyError as error:
        raise ValueError(
            f'{path} is no config: {error.args[0]}; give a work dir as tools/train.py left '
            'it'
        ) from None


def _assigned(line: ast.stmt, before: Container[str]) -> dict[str, Any]:
    """Return the name and the value of a line `name = value`.

    Raises:
        ValueError, TypeError: If the line is another, or its value is not plain.
    """
    match line:
        # MMEngine reads the files that `_base_` names, and they may hold code.
        case ast.Assign(targets=[ast.Name(id=name)]) if name not in _TAKEN:
            return {name: _plain(line.value, before)}
    raise ValueError('more than a name and a value')


def _plain(node: ast.expr | None, before: Container[str]) -> Any:
    """Return a plain value.

    Args:
        node: The value.
        before: The names that lines above have. None of them may be used, because a plain
            value has no variables.

    Raises:
        ValueError, TypeError: If the value is not plain.
    """

    def all_of(nodes: Iterable[ast.expr | None]) -> list:
        return [_plain(node, before) for node in nodes]

    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=parts):
            return all_of(parts)
        case ast.Tuple(elts=parts):
            return tuple(all_of(parts))
        case ast.Set(elts=parts):
            return set(all_of(parts))
        case ast.Dict(keys=keys, values=values):  # a key of None stands for `**`
            return dict(zip(all_of(keys), all_of(values), strict=True))
        # This is how MMEngine writes a dictionary whose keys are no Python names.
        case ast.Call(func=ast.Name(id='dict'), args=[ast.Dict() as inner], keywords=[]):
            return _plain(inner, before)
        case ast.Call(func=ast.Name(id='dict'), args=[], keywords=words):
            names = [word.arg for word in words]
            if None not in names:
                values = [word.value for word in words]
                return dict(zip(names, all_of(values), strict=True))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() | ast.Name() as operand):
            return -_plain(operand, before)
        case ast.Name(id=name) if name in _NUMBERS:
            return _NUMBERS[name]
        case ast.Attribute():
            return _name_of_class(node, before)
    raise ValueError('no plain value')


def _name_of_class(node: ast.Attribute, before: Container[str]) -> str:
    words = ast.unparse(node)
    first, *others = words.split('.')
    # An attribute of a variable is no class, and a name with a dash or a bracket is none.
    if first in before or not all(word.isidentifier() for word in (first, *others)):
        raise ValueError('no name of a class')
    return words
