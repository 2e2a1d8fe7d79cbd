"""The registries of mmlogo. Their scope is `mmlogo` and their parents are mmpretrain's.

`locations` names modules of mmpretrain and of mmlogo. So `type='ResNet'` needs no prefix,
and a config needs no `custom_imports`. Some registries have no entries of ours. They are
needed because a lookup that starts in our scope can reach a parent only from a registry of
the same kind.
"""

import sys
from importlib import import_module
from importlib.util import find_spec

from mmengine.registry import FUNCTIONS, Registry
from mmengine.registry import MODEL_WRAPPERS as ROOT_MODEL_WRAPPERS
from mmpretrain import registry as parent

from mmlogo.transfer.operators import is_half_imported

# These classes derive from mmdet's, so they exist only if mmdet is installed and whole.
_OF_DETECTORS = ('Res5WithNorm',)


class _Models(Registry):
    """Has the parts of detectors as soon as one is asked for, or mmdet is there anyway.

    Among `locations` they would import mmdet for every training.
    """

    def get(self, key: str) -> type | None:
        asked = str(key).rpartition('.')[2] in _OF_DETECTORS
        there = 'mmdet.models' in sys.modules or (asked and find_spec('mmdet') is not None)
        if there and not is_half_imported():
            import_module('mmlogo.transfer.detectors')
        return super().get(key)


def _child(
    name: str, of: Registry, locations: list[str], kind: type[Registry] = Registry
) -> Registry:
    return kind(name, parent=of, scope='mmlogo', locations=locations)


DATA_SAMPLERS = _child(
    'data sampler', parent.DATA_SAMPLERS, ['mmpretrain.datasets', 'mmlogo.datasets']
)
DATASETS = _child('dataset', parent.DATASETS, ['mmpretrain.datasets', 'mmlogo.datasets'])
EVALUATORS = _child('evaluator', parent.EVALUATORS, ['mmpretrain.evaluation'])
HOOKS = _child('hook', parent.HOOKS, ['mmpretrain.engine', 'mmlogo.engine'])
LOG_PROCESSORS = _child('log processor', parent.LOG_PROCESSORS, ['mmpretrain.engine'])
LOOPS = _child('loop', parent.LOOPS, ['mmpretrain.engine', 'mmlogo.engine'])
METRICS = _child('metric', parent.METRICS, ['mmpretrain.evaluation', 'mmlogo.evaluation'])
# Its parent is the root, because the Runner looks up wrappers there and finds only those in
# direct children of the root. mmpretrain has no registry of wrappers.
MODEL_WRAPPERS = _child('model_wrapper', ROOT_MODEL_WRAPPERS, ['mmlogo.engine'])
MODELS = _child(
    'model',
    parent.MODELS,
    ['mmpretrain.models', 'mmlogo.models', 'mmlogo.views'],
    _Models,
)
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    'optimizer wrapper constructor',
    parent.OPTIM_WRAPPER_CONSTRUCTORS,
    ['mmpretrain.engine', 'mmlogo.engine'],
)
OPTIM_WRAPPERS = _child(
    'optimizer wrapper', parent.OPTIM_WRAPPERS, ['mmpretrain.engine', 'mmlogo.engine']
)
OPTIMIZERS = _child('optimizer', parent.OPTIMIZERS, ['mmpretrain.engine'])
PARAM_SCHEDULERS = _child(
    'parameter scheduler',
    parent.PARAM_SCHEDULERS,
    ['mmpretrain.engine', 'mmlogo.engine'],
)
RUNNER_CONSTRUCTORS = _child(
    'runner constructor', parent.RUNNER_CONSTRUCTORS, ['mmpretrain.engine']
)
RUNNERS = _child('runner', parent.RUNNERS, ['mmpretrain.engine'])
TASK_UTILS = _child('task util', parent.TASK_UTILS, ['mmpretrain.models'])
TRANSFORMS = _child('transform', parent.TRANSFORMS, ['mmpretrain.datasets', 'mmlogo.views'])
VISBACKENDS = _child('vis_backend', parent.VISBACKENDS, ['mmpretrain.visualization'])
VISUALIZERS = _child('visualizer', parent.VISUALIZERS, ['mmpretrain.visualization'])
WEIGHT_INITIALIZERS = _child(
    'weight initializer', parent.WEIGHT_INITIALIZERS, ['mmpretrain.models']
)

__all__ = [
    'FUNCTIONS',
    *(name for name, value in list(globals().items()) if isinstance(value, Registry)),
]
