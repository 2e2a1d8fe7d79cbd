"""Reads the config in a checkpoint, without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

# What these say, MMEngine reads or imports, or replaces before it reads the rest.
_EXECUTED = ('_base_', 'custom_imports')
_REPLACED = '{{'
# what a text that is no such config raises, a very deep one among them
_UNREADABLE = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
_PLAIN = (
    ast.Constant,
    ast.Dict,
    ast.List,
    ast.Load,
    ast.Set,
    ast.Tuple,
    ast.UAdd,
    ast.USub,
    ast.UnaryOp,
    ast.keyword,
)


def model_of(cfg: str) -> dict[str, Any]:
    """Return `model` of a config's text. It is empty if the text has no plain `model`."""
    model = value_of(cfg, 'model')
    return model if isinstance(model, dict) else {}


def value_of(cfg: str, name: str) -> Any:
    """Return what a config's text assigns to a name, None if that is not a plain value."""
    try:
        for line in ast.parse(cfg).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == name:
                return _literal(line.value)
    except _UNREADABLE:  # written otherwise, by an older MMCV
        pass
    return None


def plain_config(cfg: str) -> str:
    """Keep the lines of a config's text that give a name a plain value, and no others.

    MMEngine runs such a text as Python. If all lines are of this kind, the text comes back
    as it is.
    """
    try:
        lines = ast.parse(cfg).body
        plain = [text for line in lines if _is_plain(line, text := ast.unparse(line))]
    except _UNREADABLE:
        return ''
    if len(plain) == len(lines) and _REPLACED not in cfg:  # in a comment, too
        return cfg
    return ''.join(f'{text}\n' for text in plain)


def _is_plain(line: ast.stmt, text: str) -> bool:
    if not isinstance(line, ast.Assign) or _REPLACED in text:
        return False
    names = [name.id for name in line.targets if isinstance(name, ast.Name)]
    if len(names) < len(line.targets) or {*names} & {*_EXECUTED, 'dict'}:
        return False
    return all(
        isinstance(node, _PLAIN)
        or (isinstance(node, ast.Name) and node.id == 'dict')
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict')
        for node in ast.walk(line.value)
    )


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        pairs = [pair for part in node.args for pair in _literal(part).items()]
        return dict(pairs) | {word.arg: _literal(word.value) for word in node.keywords}
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'range':
        return range(*map(ast.literal_eval, node.args))
    if isinstance(node, ast.Dict):
        return {
            ast.literal_eval(key): _literal(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(part) for part in node.elts]
    return ast.literal_eval(node)


def inputs_of(preprocessor: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return `mean` and `std`, if they are certainly those of RGB channels."""
    ours = preprocessor.get('type') in ('MultiCropPreprocessor', 'LabelledPreprocessor')
    # mmdet and mmseg read BGR and turn it
    if not ours and not (preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb')):
        return {}
    names = [name for name in ('mean', 'std') if preprocessor.get(name)]
    return {name: list(preprocessor[name]) for name in names} if len(names) == 2 else {}
