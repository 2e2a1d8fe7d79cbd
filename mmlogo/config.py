"""Loading configs. `mmlogo::name.py` names one of ours from any folder."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from mmengine.config import Config
from mmengine.utils import get_installed_path

PREFIX = 'mmlogo::'
INSTALL_MMDET = "pip install -c requirements/constraints.txt -e '.[detection]'"


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
        return Config.fromfile(str(config_path(name)))
    finally:
        Config._get_cfg_path = staticmethod(original)
