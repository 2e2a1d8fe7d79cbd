"""What the config in a checkpoint says of its pretraining."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any


def model_of(cfg: str) -> dict[str, Any]:
    """`model` of a config's text as MMEngine writes it; nothing in it is run."""
    try:
        for line in ast.parse(cfg).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == 'model':
                model = _literal(line.value)
                return model if isinstance(model, dict) else {}
    except (SyntaxError, ValueError):  # written otherwise, by an older MMCV
        pass
    return {}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == 'dict':
        pairs = [pair for part in node.args for pair in _literal(part).items()]
        return dict(pairs) | {word.arg: _literal(word.value) for word in node.keywords}
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
    """Mean and standard deviation, where they are surely RGB's."""
    ours = preprocessor.get('type') in ('MultiCropPreprocessor', 'LabelledPreprocessor')
    # mmdet and mmseg read BGR and turn it
    if not ours and not (preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb')):
        return {}
    names = [name for name in ('mean', 'std') if preprocessor.get(name)]
    return {name: list(preprocessor[name]) for name in names} if len(names) == 2 else {}
