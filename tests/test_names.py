"""The names that users import: they are there, and `__all__` says no other."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest
from helpers import ROOT

import mmlogo
from mmlogo.registry import MODELS

PACKAGES = [
    'mmlogo',
    *(
        module.name
        for module in pkgutil.walk_packages(mmlogo.__path__, 'mmlogo.')
        if module.ispkg
    ),
]


@pytest.mark.parametrize('name', PACKAGES)
def test_every_name_in_all_is_there(name):
    package = importlib.import_module(name)
    for public in getattr(package, '__all__', []):
        assert getattr(package, public) is not None, public
    assert package.__doc__, f'{name} has no docstring'


@pytest.mark.parametrize(
    ('package', 'names'),
    [
        ('mmlogo', 'version_info __version__'),
        (
            'mmlogo.models',
            'SimSiamLoGo MoCoLoGo MoCo LEWELB LEWELM CGH LoGoHead ContrastHead',
        ),
        ('mmlogo.models.parts', 'Queue Teacher Affinity Clock SplitBatchNorm2d'),
        ('mmlogo.models.losses', 'info_nce negative_cosine relation_cross_entropy'),
        (
            'mmlogo.engine',
            'KNNLoop KNNTestLoop CollapseHook AnyDeviceDataParallel WarmUpLR',
        ),
        ('mmlogo.evaluation', 'KNNMetric LinearMetric SpectrumMetric RetrievalMetric'),
        ('mmlogo.views', 'MultiCrop MultiCropPreprocessor ViewSpec'),
        ('mmlogo.datasets', 'ImageFolder InMemoryCIFAR10 PhotoTiles EpochSampler'),
    ],
)
def test_what_users_import_is_where_openmmlab_has_it(package, names):
    module = importlib.import_module(package)
    for name in names.split():
        assert hasattr(module, name), name
        if hasattr(module, '__all__'):
            assert name in module.__all__, name


def test_every_registered_model_is_exported():
    ours = {kind.__name__ for kind in MODELS.module_dict.values()}
    exported = {
        name
        for package in ('mmlogo.models', 'mmlogo.models.parts', 'mmlogo.views')
        for name in importlib.import_module(package).__all__
    }
    assert ours - exported <= {'Res5WithNorm'}  # there only where mmdet is


def test_the_version_is_a_tuple_of_numbers():
    digits = re.findall(r'\d+', mmlogo.__version__)
    assert mmlogo.version_info == tuple(int(d) for d in digits)


# An argument line that begins so leaves out its subject: "Of the names", "As of X".
HALF_A_SENTENCE = re.compile(r'^\s+[a-z_, ]+(\([^)]*\))?: (Of|As|Likewise)\b', re.MULTILINE)


def test_argument_lines_are_sentences():
    found = [
        f'{path.relative_to(ROOT)}: {match[0].strip()}'
        for folder in ('mmlogo', 'tools')
        for path in sorted((ROOT / folder).rglob('*.py'))
        for match in HALF_A_SENTENCE.finditer(path.read_text())
    ]
    assert not found
