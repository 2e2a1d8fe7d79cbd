"""What mmdet needs of mmcv's compiled operators, from torchvision.

mmcv asks one compiled module, `mmcv._ext`, for all its operators, and without it neither
`mmcv.ops` nor mmdet's models can be imported. pip installs mmcv without it, and to compile
it takes an hour or more. What the detectors we use call of it, torchvision has as well.

Importing mmlogo calls `install`. It has to be that early because mmpretrain's models import
mmdet where there is one: without operators half of mmdet is then in memory, with functions
that raise in their place. And it can be, because it costs nothing: only a finder is put
before Python's own. It answers for `mmcv._ext` alone, when that is first imported, and only
if no compiled one can be.

Where mmpretrain's models came first all the same, that half of mmdet cannot be mended:
Python gives a module its imports once, and to import mmdet anew would register every class
twice, which MMEngine refuses. Most who are there want no detector, and mmdet is of no use
to them; so `import mmlogo` says nothing, and the finder refuses `mmdet.models`, which
whoever wants a detector imports next.
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
# Of the modules of mmcv.ops that load compiled code, what does without it.
_SERVED = (
    'MultiScaleDeformableAttention',  # in Python on a CPU
    'RoIAlign',
    'SigmoidFocalLoss',
    'batched_nms',
    'nms',
    'roi_align',
    'sigmoid_focal_loss',
)


class StandIn(MetaPathFinder, Loader):
    """Makes `mmcv._ext` of torchvision's operators, where mmcv has none that load.

    Args:
        halves: Modules of mmdet that were imported without operators; default: none.
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
            torchvision_ops,  # wants torch, which mmlogo does not yet
        )

        for operator in torchvision_ops.SERVED:
            setattr(module, operator.__name__, operator)
        # mmcv looks up every operator's name when it is imported: all are there, and
        # those that torchvision has not raise when they are called.
        module.__dict__['__getattr__'] = torchvision_ops.missing


def install() -> None:
    """Serve `mmcv._ext` from torchvision from now on, unless it is compiled."""
    if not any(isinstance(finder, StandIn) for finder in sys.meta_path):
        sys.meta_path.insert(0, StandIn(_halves_of_mmdet()))


def is_half_imported() -> bool:
    """Whether mmdet came before mmlogo without operators, and its models are refused."""
    return any(isinstance(finder, StandIn) and finder.halves for finder in sys.meta_path)


def is_compiled() -> bool:
    """Whether mmcv's own operators are in use. Imports mmcv.

    Raises:
        ImportError: If they are there and do not load; torchvision's are used then.
    """
    if EXTENSION in sys.modules and not _is_stand_in(sys.modules[EXTENSION]):
        return True
    return _is_built(importlib.import_module('mmcv').__path__)


def is_unserved(kind: object) -> bool:
    """Whether something of `mmcv.ops` wants an operator that torchvision does not have."""
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
    importlib.import_module('torch')  # whose libraries the extension is linked with
    module_from_spec(spec)
    return True


def _halves_of_mmdet() -> list[str]:
    """Modules of mmdet that asked for mmcv's operators in vain.

    mmdet has `try: from mmcv.ops import nms`, and a function that raises in its place
    `except ImportError`.
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
