"""mmlogo: LoGo and the self-supervised methods around it, for OpenMMLab."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, version

from mmlogo import ops

__version__ = '0.1.0'

# Lower bounds only: an upper bound that asserts turns a working installation
# into a broken one on the day a dependency releases.
_MINIMUM = {
    'torch': ('torch', '2.10.0'),
    'torchvision': ('torchvision', '0.25.0'),
    'mmengine': ('onedl-mmengine', '0.10.9'),
    'mmcv': ('onedl-mmcv', '2.3.0'),
    'mmpretrain': ('onedl-mmpretrain', '1.3.0'),
}


def _digits(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r'\d+', text.split('+')[0])[:3])


def _check_dependencies() -> None:
    for module, (distribution, minimum) in _MINIMUM.items():
        remedy = (
            f"install it with: pip install '{distribution}>={minimum}' "
            '(tested versions: requirements/constraints.txt; '
            '`python -m mmlogo.doctor` checks the rest)'
        )
        found = None
        for name in (distribution, module, f'{module}-lite'):
            try:
                found = version(name)
                break
            except PackageNotFoundError:
                continue
        if found is None:
            raise ImportError(f'mmlogo needs {module} and it is missing; {remedy}')
        if _digits(found) < _digits(minimum):
            raise ImportError(
                f'mmlogo needs {module} >= {minimum} and found {found}; {remedy}'
            )


# `python -m mmlogo.doctor` imports this file first, and is there to explain what
# would be raised here. (A Python without `orig_argv` is too old; it explains that.)
if '-m mmlogo.doctor' not in ' '.join(getattr(sys, 'orig_argv', ('-m mmlogo.doctor',))):
    _check_dependencies()

# Before mmpretrain and mmdet are imported; mmlogo/ops/__init__.py says why here.
ops.install()
