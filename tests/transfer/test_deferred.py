"""mmdet is imported when something asks for it, and then it is as it always was."""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import ROOT

HEAVY = ('mmdet', 'sklearn', 'matplotlib')


def output(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def imported(*words: str) -> set[str]:
    """What a Python process with these words imports."""
    lines = output('-X', 'importtime', *words).splitlines()
    return {line.rpartition('|')[2].strip() for line in lines if '|' in line}


@pytest.mark.parametrize(
    ('words', 'others'),
    [
        (['-c', 'import mmlogo'], ['torch']),
        (['tools/train.py', '--help'], ['torch', 'mmengine']),
        (['-c', 'import mmlogo.launch, mmlogo.models'], []),
        (['-c', 'from mmlogo.registry import METRICS; METRICS.get("KNNMetric")'], []),
        (['-c', 'from mmlogo.registry import MODELS; MODELS.get("MoCoLoGo")'], []),
    ],
)
def test_without_mmdet_and_its_company(words, others):
    found = imported(*words)
    assert 'mmlogo' in found
    assert not found & {*HEAVY, *others}


# What mmpretrain and mmlogo register for detectors, and where the names are.
WHOLE = """
import inspect, sys
import mmpretrain.models, mmpretrain.models.utils
from mmdet.registry import MODELS
held = sys.modules['mmpretrain.models.utils.res_layer_extra_norm']
kind = MODELS.get('ResLayerExtraNorm')
assert inspect.isclass(kind) and kind.__mro__[1].__module__.startswith('mmdet.'), kind
for place in (held, mmpretrain.models, mmpretrain.models.utils):
    assert place.ResLayerExtraNorm is kind, place
    assert '__getattr__' not in vars(place), place
    assert type(place.__loader__).__name__ == 'SourceFileLoader'
assert type(sys.modules['mmdet.models'].__spec__.loader).__name__ == 'SourceFileLoader'
from mmdet.models import FasterRCNN
assert MODELS.get('FasterRCNN') is FasterRCNN
from mmlogo.registry import MODELS as OURS
assert OURS.get('Res5WithNorm').__module__ == 'mmlogo.transfer.detectors'
with MODELS.switch_scope_and_registry('mmlogo') as registry:
    assert registry is OURS  # where a config of mmdet has _scope_='mmlogo'
"""
NOT_YET = "import sys; assert 'mmdet' not in sys.modules\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    'order',
    [
        'import mmlogo, mmpretrain.models\n' + NOT_YET + 'import mmdet.models',
        'import mmlogo, mmdet.models, mmpretrain.models',
        'import mmlogo, mmdet, mmpretrain.models, mmdet.models',
        'import mmpretrain, mmlogo, mmpretrain.models\n' + NOT_YET,
        'import mmlogo.models\n' + NOT_YET + 'from mmpretrain.models import '
        'ResLayerExtraNorm\nassert ResLayerExtraNorm.__base__.__name__ == "ResLayer"',
        'import mmlogo.models\n' + NOT_YET + 'from mmpretrain.models.utils import '
        'res_layer_extra_norm as held\nassert isinstance(held.ResLayerExtraNorm, type)',
        # as with custom_imports in a config of mmpretrain's for mmdet
        'import mmlogo.models, mmpretrain.models.utils.res_layer_extra_norm\n' + NOT_YET,
        'from mmlogo.registry import MODELS\nassert MODELS.get("MoCoLoGo")\n'
        + NOT_YET
        + 'assert MODELS.get("Res5WithNorm")',
        'import mmlogo.models\nimport mmengine.registry as root\n'
        + NOT_YET
        + 'assert root.MODELS.get("mmdet.FasterRCNN")',
    ],
)
def test_mmdet_is_whole_in_every_order(order):
    output('-c', order + WHOLE)


@pytest.mark.slow
def test_who_lacks_mmdet_sees_what_mmpretrain_shows_then():
    output(
        '-c',
        'import sys; sys.modules["mmdet"] = None\n'  # Python's word for "not there"
        'import mmlogo.models, mmpretrain.models\n'
        'from mmpretrain.models.utils import ResLayerExtraNorm\n'
        'assert ResLayerExtraNorm is None\n'
        'assert mmpretrain.models.ResLayerExtraNorm is None\n'
        'assert not hasattr(mmpretrain.models, "nothing_of_this_name")',
    )


@pytest.mark.slow
def test_a_name_that_is_not_there_is_an_attribute_error():
    output(
        '-c',
        'import mmlogo.models, mmpretrain.models\n'
        'assert not hasattr(mmpretrain.models, "nothing_of_this_name")\n' + NOT_YET,
    )
