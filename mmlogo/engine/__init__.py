"""Loops, hooks, optimiser wrappers and schedules for MMEngine's Runner."""

import mmlogo.checkpoints.read  # noqa: F401  MMEngine reads by it from now on
from mmlogo.engine.hooks import *  # noqa: F403
from mmlogo.engine.hooks import __all__ as _hooks
from mmlogo.engine.knn_loop import KNNLoop, KNNTestLoop
from mmlogo.engine.optim import AutocastOptimWrapper, GroupedOptimWrapperConstructor
from mmlogo.engine.schedule import WarmUpLR
from mmlogo.engine.train_loop import ResumableTrainLoop
from mmlogo.engine.unwrap import unwrapped
from mmlogo.engine.wrapper import AnyDeviceDataParallel

__all__ = [
    'AnyDeviceDataParallel',
    'AutocastOptimWrapper',
    'GroupedOptimWrapperConstructor',
    'KNNLoop',
    'KNNTestLoop',
    'ResumableTrainLoop',
    'WarmUpLR',
    'unwrapped',
    *_hooks,
]
