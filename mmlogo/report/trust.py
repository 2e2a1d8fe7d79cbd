"""Says which classes a page builds from the config of a work dir.

A config of plain values can still run a command: MMEngine calls whatever `type` names, such
as `os.system`, and imports its module. So a page builds only classes of the modules below,
unless its reader trusts the work dir.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope
from mmengine.utils import import_modules_from_strings

from mmlogo.registry import DATASETS, MODELS, TRANSFORMS, WEIGHT_INITIALIZERS

REGISTRIES = (MODELS, DATASETS, TRANSFORMS, WEIGHT_INITIALIZERS)
SCOPES = ('mmlogo', 'mmpretrain', 'mmengine')

# Their classes take numbers, texts and other classes, and read no file but images, lists
# of names and archives whose sum is checked.
_MODULES = (
    'mmlogo',
    'mmcv.cnn.bricks',
    'mmcv.transforms',
    'mmengine.model.weight_init',
    'mmengine.utils.dl_utils.parrots_wrapper',
    'mmpretrain.datasets.custom',
    'mmpretrain.datasets.imagenet',
    'mmpretrain.datasets.transforms',
    'mmpretrain.models.backbones',
    'mmpretrain.models.classifiers.image',
    'mmpretrain.models.heads',
    'mmpretrain.models.losses',
    'mmpretrain.models.necks',
    'mmpretrain.models.selfsup',
    'mmpretrain.models.utils',
    'torch.nn',
)
# Some of their classes read checkpoints with a reader of their own, or call another
# library that does. The transforms `torchvision/...` are in no module above: mmpretrain
# evaluates their `dtype` as Python.
_NOT = (
    'mmpretrain.models.backbones.timm_backbone',
    'mmpretrain.models.selfsup.beit',
    'mmpretrain.models.selfsup.cae',
    'mmpretrain.models.selfsup.milan',
    'mmpretrain.models.utils.huggingface',
    'mmpretrain.models.utils.tokenizer',
    'mmpretrain.models.utils.vector_quantizer',
)


class UntrustedError(ValueError):
    """A config names a class that a page does not build without being told to."""


def enter(cfg: Config, parts: Any, trust: bool) -> None:
    """Make the scope of a config the default, once its parts may be built.

    Args:
        cfg: The config.
        parts: The parts of the config that are about to be built.
        trust: Whether to build whatever they name.

    Raises:
        UntrustedError: If they name another class than those of this module's list.
    """
    scope = cfg.get('default_scope') or 'mmlogo'
    if not trust:
        _check(scope in SCOPES, scope, cfg)
        for kind in _kinds(parts):
            _check(is_known(kind), kind, cfg)
    init_default_scope(scope)


def _check(known: bool, what: Any, cfg: Config) -> None:
    if known:
        return
    imports = cfg.get('custom_imports')
    raise UntrustedError(
        f'its config names {what!r}, and a page builds only classes of mmlogo, and '
        'networks and transforms of mmpretrain, mmcv and torch; if you trust the work dir, '
        'add --trust'
        + (f', which also imports what custom_imports lists: {imports}' if imports else '')
    )


def _kinds(part: Any) -> Iterator[Any]:
    """Return every `type` in a part of a config, and the scopes that are no known ones."""
    if isinstance(part, dict):
        if 'type' in part:
            yield part['type']
        if part.get('_scope_', SCOPES[0]) not in SCOPES:
            yield part['_scope_']
    if isinstance(part, (dict, list, tuple)):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _kinds(inner)


def is_known(kind: Any) -> bool:
    """Return whether a `type` is the name of a class that a page builds.

    Nothing is imported by its name. It may have a scope before it, as `mmpretrain.ResNet`
    has, or the class's package, as in a config that was written with Python classes.
    """
    if not isinstance(kind, str):
        return False
    where, _, name = kind.rpartition('.')
    modules = [found.__module__ for found in _registered(name)]
    return bool(modules) and all(
        _is_in(module, _MODULES)
        and not _is_in(module, _NOT)
        and (not where or where in SCOPES or _is_in(module, (where,)))
        for module in modules
    )


def _is_in(module: str, packages: tuple[str, ...]) -> bool:
    return f'{module}.'.startswith(tuple(f'{package}.' for package in packages))


def _registered(name: str) -> Iterator[Any]:
    """Return all that the registries have under a name, in their scope and those above.

    Which of them MMEngine would build depends on where the name stands.
    """
    for registry in REGISTRIES:
        registry.import_from_location()
        level: Registry | None = registry
        while level is not None:
            if name in level.module_dict:
                yield level.module_dict[name]
            level = level.parent


def import_custom(cfg: Config) -> None:
    """Import the modules that a config lists as `custom_imports`.

    Raises:
        ValueError: If a module cannot be imported.
    """
    try:
        import_modules_from_strings(**(cfg.get('custom_imports') or dict(imports=[])))
    except ImportError as error:
        raise ValueError(
            f'custom_imports of {cfg.filename}: {error}; add the folder of the module to '
            'PYTHONPATH'
        ) from error
