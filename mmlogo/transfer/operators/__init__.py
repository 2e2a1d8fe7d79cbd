"""Operators of torchvision in place of mmcv's compiled ones, for mmdet.

mmcv gets all its operators from one compiled module, `mmcv._ext`. Without it, neither
`mmcv.ops` nor mmdet's models can be imported. pip installs mmcv without it, and compiling
it takes an hour or more. torchvision has all operators that the detectors we use call.

Importing mmlogo calls `install`. It must be called before mmdet is imported. Without
operators, half of mmdet would then be in memory, with functions that raise errors in the
operators' place. `install` costs little: it only puts a finder before Python's own. The
finder serves `mmcv._ext` alone, when it is first imported, and only if no compiled one
loads.

mmpretrain's models import mmdet if it is installed (`mmlogo.transfer.deferred` puts that
off). If they were imported before mmlogo, that half of mmdet cannot be mended.
Python runs a module's imports once, and to import mmdet anew would register every class
twice, which MMEngine refuses. Most users in this case want no detector. So `import mmlogo`
says nothing, and the finder refuses `mmdet.models`, which whoever wants a detector imports
next.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from types import ModuleType

EXTENSION = 'mmcv._ext'
DETECTORS = 'mmdet.models'
# Names in mmcv.ops that work without compiled code, though their modules load it.
_SERVED = (
    'MultiScaleDeformableAttention',  # on a CPU it is plain Python
    'RoIAlign',
    'SigmoidFocalLoss',
    'batched_nms',
    'nms',
    'roi_align',
    'sigmoid_focal_loss',
)


class StandIn(MetaPathFinder, Loader):
    """Finder and loader that make `mmcv._ext` from torchvision's operators.

    It does so only if mmcv has no compiled operators that load.

    Args:
        halves: Modules of mmdet that were imported without operators. Default: none.
    """

    def __init__(self, halves: Sequence[str] = ()) -> None:
        self.halves = halves

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What makes a module of that name; None for all but `mmcv._ext`.

        Raises:
            ImportError: For mmdet's models, if half of mmdet is there without operators.
        """
        if name == DETECTORS and self.halves:
            raise ImportError(
                f'mmdet was imported before mmlogo and without the operators of mmcv, so '
                f'that {len(self.halves)} of its modules, such as {self.halves[0]}, have '
                'functions that only raise, for as long as Python runs. Start Python anew '
                'and import mmlogo before mmdet and before mmpretrain.models, which '
                'imports mmdet',
                name=name,
            )
        if name != EXTENSION:
            return None
        try:
            if _is_built(path):
                return None
        except ImportError as error:
            warnings.warn(
                f"mmcv's compiled operators do not load ({error}); torchvision's are "
                'used instead. `python -m mmlogo.doctor` has the fix',
                stacklevel=2,
            )
        return ModuleSpec(EXTENSION, self, origin='torchvision')

    def exec_module(self, module: ModuleType) -> None:
        from mmlogo.transfer.operators import (
            torchvision_ops,  # imports torch, which this package must not
        )

        for operator in torchvision_ops.SERVED:
            setattr(module, operator.__name__, operator)
        # mmcv looks up the name of every operator when it is imported. So all names exist,
        # and operators that torchvision does not have raise when they are called.
        module.__dict__['__getattr__'] = torchvision_ops.missing


def install() -> None:
    """Serve `mmcv._ext` from torchvision from now on, unless it is compiled."""
    if not any(isinstance(finder, StandIn) for finder in sys.meta_path):
        sys.meta_path.insert(0, StandIn(_halves_of_mmdet()))


def is_half_imported() -> bool:
    """Return True if mmdet came before mmlogo, so that its models are refused."""
    return any(isinstance(finder, StandIn) and finder.halves for finder in sys.meta_path)


def is_compiled() -> bool:
    """Tell whether mmcv's own operators are in use. This imports mmcv.

    Raises:
        ImportError: If compiled operators exist and do not load. mmlogo then uses
            torchvision's.
    """
    if EXTENSION in sys.modules and not _is_stand_in(sys.modules[EXTENSION]):
        return True
    return _is_built(importlib.import_module('mmcv').__path__)


def is_unserved(kind: object) -> bool:
    """Tell whether a class or function of `mmcv.ops` needs operators that are missing."""
    module = sys.modules.get(getattr(kind, '__module__', ''))
    if module is None or not module.__name__.startswith('mmcv.ops.'):
        return False
    if not hasattr(module, 'ext_module') or not _is_stand_in(sys.modules[EXTENSION]):
        return False
    return getattr(kind, '__name__', '') not in _SERVED


def _is_built(path: Sequence[str] | None) -> bool:
    spec = PathFinder.find_spec(EXTENSION, path)
    if spec is None:
        return False
    importlib.import_module('torch')  # the extension is linked with torch's libraries
    module_from_spec(spec)
    return True


def _halves_of_mmdet() -> list[str]:
    """Return the modules of mmdet that asked for mmcv's operators in vain.

    mmdet has `try: from mmcv.ops import nms`, and on an ImportError defines a function
    that raises.
    """
    if 'mmcv.ops' in sys.modules:
        return []
    return [
        name
        for name, module in list(sys.modules.items())
        if name.startswith('mmdet.') and 'mmcv.ops' in _source_of(module)
    ]


def _source_of(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except (OSError, TypeError):  # a package without a file, or no Python
        return ''


def _is_stand_in(module: ModuleType) -> bool:
    return isinstance(getattr(module.__spec__, 'loader', None), StandIn)
