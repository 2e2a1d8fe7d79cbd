"""mmlogo: LoGo and the self-supervised methods around it, for OpenMMLab."""

from __future__ import annotations

import sys
from importlib import metadata

from mmlogo.transfer import deferred, operators
from mmlogo.version import MINIMUM, __version__, digits, version_info

__all__ = ['__version__', 'version_info']


def _check_dependencies() -> None:
    """Raise ImportError if a package is missing or too old."""
    for module, (distribution, minimum) in MINIMUM.items():
        remedy = (
            f"install it with: pip install '{distribution}>={minimum}' "
            '(tested versions: requirements/constraints.txt; '
            '`python -m mmlogo.doctor` checks the rest)'
        )
        found = None
        for name in (distribution, module, f'{module}-lite'):
            try:
                found = metadata.version(name)
                break
            except metadata.PackageNotFoundError:
                continue
        if found is None:
            raise ImportError(f'mmlogo needs {module} and it is missing; {remedy}')
        if digits(found) < digits(minimum):
            raise ImportError(
                f'mmlogo needs {module} >= {minimum} and found {found}; {remedy}'
            )


# `python -m mmlogo.doctor` imports this file first. It explains what would be raised here,
# so it must not be raised then. (A Python without `orig_argv` is too old, which the doctor
# also explains.)
if '-m mmlogo.doctor' not in ' '.join(getattr(sys, 'orig_argv', ('-m mmlogo.doctor',))):
    _check_dependencies()

# This must be before mmpretrain and mmdet are imported. The two modules say why.
operators.install()
deferred.install()
