"""mmdet is imported when something asks for it, and not whenever mmpretrain is.

`mmpretrain.models` has one class that derives from mmdet's, `ResLayerExtraNorm`. For its
sake it imports `mmdet.models` wherever mmdet is installed, with scikit-learn and
matplotlib. This takes longer than the import of mmpretrain itself, and only detectors need
it.

Importing mmlogo calls `install`. From then on, the module of that class is run when the
class is asked for, or right after `mmdet.models` is imported. So the class is registered in
mmdet as before, whichever package is imported first. If `mmpretrain.models` or
`mmdet.models` was imported before mmlogo, nothing is deferred.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

NAME = 'ResLayerExtraNorm'
HOLDER = 'mmpretrain.models.utils.res_layer_extra_norm'
# Packages that have the name from the holder, the outer one last.
REEXPORTS = ('mmpretrain.models.utils', 'mmpretrain.models')
DETECTORS = 'mmdet.models'


class Deferral(MetaPathFinder):
    """Finder that puts off running `HOLDER`. All other modules are found as ever."""

    def __init__(self) -> None:
        # The holder and its own loader, until it is run.
        self.waiting: tuple[ModuleType, Loader] | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders know of the three modules; None for all others."""
        runs = {
            HOLDER: self._put_off,
            REEXPORTS[-1]: self._run_and_make_lazy,
            DETECTORS: self._run_and_catch_up,
        }.get(name)
        if runs is None or (name == HOLDER and DETECTORS in sys.modules):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        specs = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _RunBy(spec.loader, runs)
        return spec

    def _put_off(self, module: ModuleType, loader: Loader) -> None:
        setattr(module, NAME, None)  # what it is without mmdet
        self.waiting = module, loader

    def _run_and_make_lazy(self, module: ModuleType, loader: Loader) -> None:
        loader.exec_module(module)
        if self.waiting is not None:
            for place in self._places():
                vars(place).pop(NAME, None)
                vars(place)['__getattr__'] = self._looked_up_in(place)

    def _run_and_catch_up(self, module: ModuleType, loader: Loader) -> None:
        loader.exec_module(module)
        self.catch_up()

    def catch_up(self) -> None:
        """Run the holder, if that was put off. This imports mmdet if it is installed."""
        if self.waiting is None:
            return
        (holder, loader), self.waiting = self.waiting, None
        for place in self._places():
            vars(place).pop('__getattr__', None)
        loader.exec_module(holder)
        for place in self._places():
            setattr(place, NAME, getattr(holder, NAME))

    @staticmethod
    def _places() -> list[ModuleType]:
        return [sys.modules[name] for name in (HOLDER, *REEXPORTS) if name in sys.modules]

    def _looked_up_in(self, place: ModuleType) -> Callable[[str], Any]:
        """Return a module's `__getattr__`, which Python calls for what is not there."""

        def get(name: str) -> Any:
            if name == NAME:
                self.catch_up()
            if name not in vars(place):
                raise AttributeError(
                    f'module {place.__name__!r} has no attribute {name!r}', name=name
                )
            return vars(place)[name]

        return get


class _RunBy(Loader):
    """A loader whose modules are run by a function, once."""

    def __init__(self, loader: Loader, runs: Callable[[ModuleType, Loader], None]) -> None:
        self.loader, self.runs = loader, runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # Whoever looks at the module finds its own loader, as without us.
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        self.runs(module, self.loader)


def install() -> None:
    """Defer mmdet from now on."""
    if not any(isinstance(finder, Deferral) for finder in sys.meta_path):
        sys.meta_path.insert(0, Deferral())
