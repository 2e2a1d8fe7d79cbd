"""A page builds a class only if it is on the list."""

from __future__ import annotations

import sys

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.registry import MODELS as ABOVE

from mmlogo.registry import MODELS
from mmlogo.report.trust import UntrustedError, enter, is_known

KNOWN = (
    'SimSiamLoGo',
    'mmlogo.SimSiamLoGo',
    'mmlogo.models.SimSiamLoGo',
    'ResNet',
    'mmpretrain.ResNet',
    'mmpretrain.models.ResNet',
    'mmpretrain.models.backbones.resnet.ResNet',
    'MAEViT',
    'BN',
    'SyncBN',
    'Kaiming',
    'CustomDataset',
    'LoadImageFromFile',
)
# Each of the last lines reads code, or a pickle, when it is built or used.
UNKNOWN = (
    '',
    '.',
    'ResNet.',
    1,
    None,
    ['ResNet'],
    'os.system',
    'subprocess.Popen',
    'os',
    'somebody.ResNet',
    'mmpretrain.models.backbones.resnet.torch.nn.Linear',
    'mmpretrain.models.backbones.vgg.ResNet',
    'torchvision/ConvertImageDtype',
    'TIMMBackbone',
    'mmpretrain.TIMMBackbone',
    'HuggingFaceClassifier',
    'CLIPGenerator',
    'VQKD',
    'MultiLabelDataset',
    'CIFAR10',
)


@pytest.mark.parametrize('kind', KNOWN)
def test_known(kind):
    assert is_known(kind)


@pytest.mark.parametrize('kind', UNKNOWN, ids=repr)
def test_unknown(kind):
    assert not is_known(kind)


def test_a_name_of_two_classes_is_known_if_both_are(monkeypatch):
    """Which of them MMEngine builds depends on where the name stands."""
    monkeypatch.setitem(ABOVE.module_dict, 'SimSiamLoGo', type('SimSiamLoGo', (), {}))
    assert not is_known('SimSiamLoGo')
    monkeypatch.setitem(MODELS.module_dict, 'Mine', type('Mine', (), {}))
    assert not is_known('Mine')


@pytest.mark.parametrize(
    ('cfg', 'part', 'what'),
    [
        (dict(default_scope='a_module'), {}, 'a_module'),
        ({}, dict(type='BN', _scope_='a_module'), 'a_module'),
        ({}, dict(a=[dict(b=(dict(type='a_module.BN'),))]), r'a_module\.BN'),
    ],
)
def test_nothing_is_imported_by_its_name(cfg, part, what, tmp_path, monkeypatch):
    (tmp_path / 'a_module').mkdir()
    (tmp_path / 'a_module' / '__init__.py').touch()
    (tmp_path / 'a_module' / 'registry.py').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    init_default_scope('mmlogo')
    cfg = Config(cfg | dict(custom_imports=dict(imports=['a_module'])))
    with pytest.raises(UntrustedError, match=rf"names '{what}', .* --trust, .*'a_module'"):
        enter(cfg, part, trust=False)
    assert 'a_module' not in sys.modules
    assert DefaultScope.get_current_instance().scope_name == 'mmlogo'


def test_with_trust_every_class_may_be_built():
    cfg = Config(dict(default_scope='mmpretrain'))
    enter(cfg, dict(type='os.system'), trust=True)
    assert DefaultScope.get_current_instance().scope_name == 'mmpretrain'
    init_default_scope('mmlogo')
