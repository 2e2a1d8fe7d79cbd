"""Find misspelt config keys before MMEngine swallows them.

MMEngine takes any name at the top of a config for a variable, and constructors
with `**kwargs` take any key. Both turn a typo into a run with default values.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple

import mmcv.ops
import mmengine.registry
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, LogProcessor, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmlogo.config import INSTALL_MMDET
from mmlogo.transfer.operators import is_unserved
from mmlogo.transfer.operators.torchvision_ops import NAMES, REMEDY

# Read by MMEngine's Runner or by our tools from the top of a config.
_OURS = ('bank_dataloader', 'data_root', 'global_batch_size', 'vis_backends')
_RUNNER = (
    'activation_checkpointing',
    'compile',
    'efficient_conv_bn_eval',
    'model_wrapper_cfg',
    'sync_bn',
)
_PARAMWISE = (
    'bias_decay_mult',
    'bias_lr_mult',
    'bypass_duplicate',
    'custom_keys',
    'dcn_offset_lr_mult',
    'dwconv_decay_mult',
    'flat_decay_mult',
    'norm_and_bias',
    'norm_decay_mult',
)
# Options of a parameter group that are not an optimiser's arguments.
_GROUP = ('hold_lr', 'lars_exclude')
# What a hook of another package reads of a group: mmpretrain's SimSiamHook.
_GROUP_OF = {'mmpretrain': ('fix_lr',)}
# Keys that a builder takes out before the constructor sees them.
_BUILDER = (
    'convert_to_iter_based',  # parameter schedulers
    'init_cfg',
    'layer',  # weight initialisers
    'override',
    'priority',  # hooks
    'requires_grad',  # norm layers
    'type',
)


def check_keys(cfg: Config) -> None:
    """Compare every key of a config with what reads it.

    In other packages some constructors hand keys on to where this does not see them; there
    only a near miss of a known key is an error, and others are warned of.

    Raises:
        ValueError: Naming each key nobody reads, with the closest one that is.
        NotImplementedError: Naming types of mmcv's compiled code, where that is absent:
            some, such as soft_nms, would be asked for after hours, in the first evaluation.
    """
    problems = list(find_problems(cfg))
    wrong = [problem.text for problem in problems if problem.sure]
    if wrong:
        raise ValueError('the config has keys that nobody reads:\n  ' + '\n  '.join(wrong))
    absent = [
        f'{path}.type={node["type"]!r}'
        for path, node, scope in _all_nodes(cfg)
        if 'type' in node and is_unserved(find_type(node['type'], scope))
    ]
    if absent:
        raise NotImplementedError(
            f'{", ".join(absent)}: compiled code of mmcv, and this mmcv was installed '
            f'without it; torchvision serves only {NAMES}. Use those, or compile mmcv, an '
            f'hour or more: {REMEDY}'
        )
    for problem in problems:
        print_log(f'is this read? {problem.text}', 'current', logging.WARNING)


def check_overrides(cfg: Config, options: dict) -> None:
    """Refuse command-line overrides of something the config does not have.

    Raises:
        ValueError: Naming the first, with the closest name there is.
    """
    known = [*cfg, *_names(Runner.__init__), *_OURS, *_RUNNER]
    for key in options:
        name = key.partition('.')[0]
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            raise ValueError(
                f'--cfg-options {key}: the config has no {name!r} to override{hint}; '
                'values inside are named by their path, such as train_cfg.max_epochs'
            )
        node: object = cfg
        parts = key.split('.')
        for place, part in enumerate(parts):
            if isinstance(node, list) and not part.isdigit():
                path, rest = '.'.join(parts[:place]), '.'.join(parts[place:])
                kinds = ', '.join(
                    f'{path}.{i}.{rest} of {item.get("type")}'
                    for i, item in enumerate(node)
                    if isinstance(item, dict)
                )
                raise ValueError(
                    f'--cfg-options {key}: {path} is a list; name the element: {kinds}'
                )
            node = _inside(node, part)


def _inside(node: object, part: str) -> object:
    if isinstance(node, list):
        return node[int(part)] if int(part) < len(node) else None
    return node.get(part) if isinstance(node, (dict, Config)) else None


class Problem(NamedTuple):
    text: str
    sure: bool = True


def find_problems(cfg: Config) -> Iterator[Problem]:
    top = [*_names(Runner.__init__), *_OURS, *_RUNNER]
    if 'find_unused_parameters' in cfg and cfg.get('model_wrapper_cfg'):
        yield Problem(
            'find_unused_parameters: MMEngine ignores it beside model_wrapper_cfg; set '
            'model_wrapper_cfg.find_unused_parameters'
        )
    for key in cfg:
        if key not in top:
            # other names may be variables of the config
            near = get_close_matches(key, top, 1, cutoff=0.85)
            if near:
                yield Problem(f'{key}: did you mean {near[0]!r}?')
    for path, node, scope in _all_nodes(cfg):
        yield from _check(path, node, scope)


def _all_nodes(cfg: Config) -> Iterator[tuple[str, dict, str]]:
    """Path, dict and registry scope of every dict in a config."""
    for key, value in cfg.items():
        yield from _nodes(value, key, cfg.get('default_scope', 'mmlogo'))


def _nodes(node: object, path: str, scope: str) -> Iterator[tuple[str, dict, str]]:
    if isinstance(node, (list, tuple)):
        for position, item in enumerate(node):
            yield from _nodes(item, f'{path}.{position}', scope)
    if not isinstance(node, dict):
        return
    # as in MMEngine it holds for what is inside, too
    scope = node.get('_scope_', scope)
    yield path, node, scope
    for key, value in node.items():
        yield from _nodes(value, f'{path}.{key}', scope)


def _check(path: str, node: dict, scope: str) -> Iterator[Problem]:
    last = path.rpartition('.')[2]
    allowed: list[str] | None
    if last == 'paramwise_cfg':
        allowed = [*_PARAMWISE]
    elif '.paramwise_cfg.custom_keys.' in path:
        of_group = (*_GROUP, *_GROUP_OF.get(scope, ()))
        allowed = ['lr_mult', 'decay_mult', *of_group, *_names(torch.optim.SGD.__init__)]
    elif path.endswith('.paramwise_cfg.norm_and_bias'):
        allowed = [*_GROUP, *_names(torch.optim.SGD.__init__)]
    elif last == 'optim_wrapper':
        kind = find_type(node.get('type', 'OptimWrapper'), scope) or OptimWrapper
        allowed = [*(_parameters(kind) or []), 'type', 'constructor', 'paramwise_cfg']
    elif last.endswith('dataloader'):
        allowed = [
            *_names(DataLoader.__init__),
            'num_batch_per_epoch',
            'disable_subprocess_warning',
        ]
    elif 'type' in node:
        kind = find_type(node['type'], scope)
        if kind is None:
            near = get_close_matches(str(node['type']), _registered(scope), 1)
            hint = f'; did you mean {near[0]!r}?' if near else ''
            yield Problem(
                f'{path}.type: nothing is registered as {node["type"]!r}{hint}',
                _is_sure(node['type'], near, scope),
            )
            return
        parameters = _parameters(kind)
        allowed = None if parameters is None else [*parameters, *_BUILDER]
    elif path == 'train_cfg':
        loop = EpochBasedTrainLoop if node.get('by_epoch', True) else IterBasedTrainLoop
        allowed = [*_names(loop.__init__), 'by_epoch']
    elif path == 'log_processor':
        allowed = _names(LogProcessor.__init__)
    elif path == 'randomness':
        allowed = _names(Runner.set_randomness)
    elif path == 'auto_scale_lr':
        allowed = ['enable', 'base_batch_size']
    elif path == 'env_cfg':
        allowed = ['cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit']
    else:
        allowed = None
    if allowed is None:
        return
    for key in node:
        if key not in allowed and key != '_scope_':
            near = get_close_matches(str(key), list(allowed), 1)
            hint = (
                f'; did you mean {near[0]!r}?' if near else f'; there are {sorted(allowed)}'
            )
            yield Problem(
                f'{path}.{key}: {node.get("type", last)} has no such key{hint}',
                _is_sure(key, near, scope) or _is_of_torch(node.get('type'), scope),
            )


def _is_sure(key: object, near: list[str], scope: str) -> bool:
    return scope == 'mmlogo' or bool(get_close_matches(str(key), near, 1, cutoff=0.9))


def _is_of_torch(kind: object, scope: str) -> bool:
    module = getattr(find_type(kind, scope), '__module__', '')
    return module.startswith('torch.')


def _registries(scope: str) -> list[Registry]:
    """Those of a package, which has them in a module `registry` as OpenMMLab's do.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        module = importlib.import_module(f'{scope}.registry')
    except ModuleNotFoundError as error:
        raise ValueError(
            f"the config's scope is {scope!r}, and {error.name} is not installed"
            + (f'; {INSTALL_MMDET}' if scope == 'mmdet' else '')
        ) from error
    # A lookup climbs: what a package imports of its parents comes after its own, and the
    # registries of MMEngine come last, some of which no package has of its own.
    modules = (module, mmengine.registry)
    found = [x for m in modules for x in vars(m).values() if isinstance(x, Registry)]
    return sorted(found, key=lambda registry: registry.scope != scope)


def find_type(kind: Any, scope: str = 'mmlogo') -> Any:
    """What `type=kind` builds in a scope; None if there is nothing of that name."""
    if not isinstance(kind, str):
        return kind
    for registry in _registries(scope):
        try:
            found = registry.get(kind)
        except RuntimeError:  # MMEngine's word for "not here"
            continue
        if found is not None:
            return found
    # mmdet names layers for boxes, such as RoIAlign and nms, by their name in here
    return getattr(mmcv.ops, kind, None) if scope == 'mmdet' else None


def _registered(scope: str) -> list[str]:
    names: set[str] = set()
    for registry in _registries(scope):
        level: Registry | None = registry
        while level is not None:
            names.update(level.module_dict)
            level = level.parent
    return sorted(names)


def _names(function: Callable) -> list[str]:
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if name != 'self'
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]


def _parameters(kind: Any) -> list[str] | None:
    """Keywords a constructor takes, its bases' while it passes `**kwargs` on.

    None where that is not to be seen, as with kwargs for what it makes.
    """
    if not inspect.isclass(kind):
        return _names(kind) if not _passes_on(kind) else None
    found: list[str] = []
    for base in kind.__mro__:
        constructor = base.__dict__.get('__init__')
        if base in (object, nn.Module) or not inspect.isfunction(constructor):
            continue
        found += _names(constructor)
        if not _passes_on(constructor):
            return found
    return None if found else []


def _passes_on(function: Callable) -> bool:
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds
