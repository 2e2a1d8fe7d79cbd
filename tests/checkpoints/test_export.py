"""A backbone in another library computes what it computed here."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from helpers import encoder, tool
from mmengine.config import Config
from mmengine.registry import init_default_scope
from safetensors import safe_open
from safetensors.torch import load_file
from skimage import data
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from mmlogo.checkpoints.export import ENDINGS, export_backbone, read_backbone, sha256
from mmlogo.checkpoints.match import load_pretrained
from mmlogo.registry import MODELS

PREPROCESSOR = dict(
    type='MultiCropPreprocessor', mean=(125.307, 122.0, 113.5), std=(51.0, 50.0, 51.5)
)


def built(**changes) -> nn.Module:
    """mmpretrain's ResNet, its BatchNorm far from how it begins."""
    init_default_scope('mmlogo')
    net = MODELS.build(dict(type='ResNet', depth=18) | changes)
    for part in net.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
            part.num_batches_tracked.fill_(11)
    return net


def features(net: nn.Module, x: Tensor | None = None) -> Tensor:
    """The last map, in evaluation mode."""
    net.eval()  # OpenMMLab's returns None
    with torch.no_grad():
        return net(photograph() if x is None else x)[-1]


def save(net: nn.Module, path: Path, **backbone) -> Path:
    """As MMEngine writes it, with the config in it."""
    model = dict(
        type='SimSiam',
        data_preprocessor=PREPROCESSOR,
        backbone=dict(type='ResNet') | backbone,
    )
    state = {f'backbone.{name}': value for name, value in net.state_dict().items()}
    state['neck.fc.weight'] = torch.zeros(3, 3)
    meta = dict(epoch=1, cfg=Config(dict(model=model)).pretty_text)
    torch.save(dict(meta=meta, state_dict=state), path)
    return path


@pytest.fixture(scope='module', params=[18, 50], ids=['r18', 'r50'])
def saved(request, tmp_path_factory) -> tuple[int, nn.Module, Path]:
    torch.manual_seed(0)
    net = built(depth=request.param)
    folder = tmp_path_factory.mktemp(f'r{request.param}')
    return request.param, net, save(net, folder / 'epoch_1.pth', depth=request.param)


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> tuple[nn.Module, Path]:
    """A ResNet-18."""
    net = built()
    return net, save(net, tmp_path_factory.mktemp('r18') / 'epoch_1.pth', depth=18)


def photograph(size: int = 64) -> Tensor:
    image = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None]
    image = image[..., 60 : 60 + 2 * size : 2, 150 : 150 + 2 * size : 2].float()
    mean, std = (torch.tensor(PREPROCESSOR[k]).view(3, 1, 1) for k in ('mean', 'std'))
    return (image - mean) / std


def same_features(got: Tensor, net: nn.Module) -> None:
    want = features(net)
    assert want.std() > 0.1  # neither dead nor exploded
    assert got.shape == want.shape
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize('ending', ['pth', 'safetensors'])
@pytest.mark.parametrize('library', ['torchvision', 'timm'])
def test_torchvision_and_timm(library, ending, saved, tmp_path):
    depth, net, path = saved
    out = tmp_path / f'net.{ending}'
    said = export_backbone(path, library, out)
    make, read = said.splitlines()[:2]
    known = dict(torchvision=torchvision, timm=timm, torch=torch)
    exec(make, known)  # what it says to do is what is done
    known['safetensors'] = __import__('safetensors.torch')
    exec(read.replace('model.load', 'keys = model.load'), known)
    model, keys = known['model'].eval(), known['keys']
    assert (keys.missing_keys, keys.unexpected_keys) == (['fc.weight', 'fc.bias'], [])
    with torch.no_grad():
        if library == 'timm':
            got = model.forward_features(photograph())
        else:
            got = create_feature_extractor(model, {'layer4': 'h'})(photograph())['h']
    same_features(got, net)
    assert f'resnet{depth}(' in make or f"'resnet{depth}'" in make


def test_mmpretrain(saved, tmp_path):
    depth, net, path = saved
    out = tmp_path / 'net.pth'
    said = export_backbone(path, 'mmpretrain', out)
    assert "prefix='backbone.'" in said
    same_features(features(as_said(said)), net)
    into = MODELS.build(dict(type='ResNet', depth=depth))
    assert load_pretrained(into, out).missing == []
    same_features(features(into), net)


def names_of_mmdet(depth: int) -> set[str]:
    """Of its ResNet and ResLayer (mmdet/models/backbones/resnet.py, ResLayer)."""
    blocks, convs = {18: ((2, 2, 2, 2), 2), 50: ((3, 4, 6, 3), 3)}[depth]
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    names = {'conv1.weight', *(f'bn1.{tensor}' for tensor in norm)}
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            at = f'layer{stage}.{block}'
            for conv in range(1, convs + 1):
                names |= {f'{at}.conv{conv}.weight'}
                names |= {f'{at}.bn{conv}.{tensor}' for tensor in norm}
            if block == 0 and (stage > 1 or depth == 50):
                names |= {f'{at}.downsample.0.weight'}
                names |= {f'{at}.downsample.1.{tensor}' for tensor in norm}
    return names


def test_mmdets_names(saved, tmp_path):
    depth, net, path = saved
    out = tmp_path / 'net.pth'
    said = export_backbone(path, 'mmdet', out)
    content = torch.load(out, weights_only=True)
    assert set(content['state_dict']) == names_of_mmdet(depth)
    assert all(
        torch.equal(value, net.state_dict()[name])
        for name, value in content['state_dict'].items()
    )
    init = f"init_cfg=dict(type='Pretrained', checkpoint='{out}')"
    backbone, _, head, _ = said.splitlines()
    assert (
        backbone == f"backbone=dict(type='ResNet', depth={depth}, style='pytorch', {init})"
    )
    assert (
        head == f"shared_head=dict(type='ResLayer', depth={depth}, style='pytorch', {init})"
    )


def test_mmdet_itself(saved, tmp_path):
    pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")
    from mmdet.models.backbones import ResNet
    from mmdet.models.roi_heads.shared_heads import ResLayer

    depth, net, path = saved
    out = str(tmp_path / 'net.pth')
    export_backbone(path, 'mmdet', out)
    init = dict(type='Pretrained', checkpoint=out)
    model = ResNet(depth, init_cfg=init)
    model.init_weights()
    same_features(features(model), net)
    # C4: three stages here, the fourth in the head
    stages = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    trunk, head = ResNet(depth, init_cfg=init, **stages), ResLayer(depth, init_cfg=init)
    trunk.init_weights()
    head.init_weights()
    head.eval()
    with torch.no_grad():
        same_features(head(features(trunk)), net)


def test_detectron2_there_and_back(saved, tmp_path):
    depth, net, path = saved
    said = export_backbone(path, 'detectron2', tmp_path / 'net.pkl')
    assert said.splitlines()[:-1] == [
        'MODEL:',
        f'  WEIGHTS: {tmp_path / "net.pkl"}',
        '  PIXEL_MEAN: [125.307, 122.0, 113.5]',
        '  PIXEL_STD: [51.0, 50.0, 51.5]',
        f'  RESNETS: {{DEPTH: {depth}, STRIDE_IN_1X1: False'
        + (', RES2_OUT_CHANNELS: 64}' if depth == 18 else '}'),
        'INPUT:',
        '  FORMAT: RGB',
    ]
    export_backbone(tmp_path / 'net.pkl', 'mmpretrain', tmp_path / 'back.pth')
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    assert len(back) == len(net.state_dict())
    for name, value in net.state_dict().items():
        if not name.endswith('num_batches_tracked'):  # detectron2 has none
            assert torch.equal(back[f'backbone.{name}'], value), name


def metadata(out: Path) -> dict:
    if out.suffix == '.safetensors':
        with safe_open(out, 'pt') as file:
            return json.loads(file.metadata()['about'])
    if out.suffix == '.pkl':
        return pickle.loads(out.read_bytes())['meta']
    content = torch.load(out, weights_only=True)
    if 'meta' in content:
        return content['meta']
    assert all(isinstance(value, Tensor) for value in content.values())
    return json.loads(out.with_name(out.name + '.json').read_text())


@pytest.mark.parametrize(
    ('target', 'ending'), [(name, e) for name, ends in ENDINGS.items() for e in ends]
)
def test_what_it_was_goes_along(target, ending, small, tmp_path):
    _, path = small
    out = tmp_path / f'net{ending}'
    export_backbone(path, target, out, about=dict(commit='17377e5'))
    meta = metadata(out)
    assert meta['network'] == 'ResNet-18'
    assert (meta['style'], meta['style_from']) == ('pytorch', 'config')
    assert meta['sha256'] == sha256(path)
    assert (meta['commit'], meta['source']) == ('17377e5', 'epoch_1.pth')
    assert meta['mean'] == [125.307, 122.0, 113.5]
    assert Config.fromstring(meta['cfg'], '.py').model.backbone.depth == 18
    if target in ('mmpretrain', 'mmdet', 'detectron2'):  # and from there on
        again = read_backbone(out)
        assert (again.cfg, again.commit) == (meta['cfg'], '17377e5')


def test_the_stem_of_cifar_networks_is_mmpretrains_alone(tmp_path):
    narrow = dict(type='ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8)
    net = built(**narrow)
    path = save(net, tmp_path / 'epoch_1.pth', **narrow)
    for target in ('torchvision', 'timm', 'detectron2', 'mmdet'):
        out = tmp_path / f'net{ENDINGS[target][0]}'
        text = rf"conv1\.weight \(8, 3, 3, 3\), and {target}'s ResNet begins with a 7x7"
        with pytest.raises(ValueError, match=text):
            export_backbone(path, target, out)
        assert not out.exists()
    said = export_backbone(path, 'mmpretrain', tmp_path / 'net.pth')
    same_features(features(as_said(said)), net)


def as_said(text: str) -> nn.Module:
    """What the first line of a message builds."""
    init_default_scope('mmlogo')
    model = MODELS.build(eval(text.splitlines()[0].removeprefix('backbone=')))
    model.init_weights()
    return model


@pytest.mark.parametrize('library', ['torchvision', 'timm', 'detectron2'])
def test_narrow_networks(library, tmp_path):
    narrow = dict(stem_channels=8, base_channels=4)
    net = built(**narrow)
    path = save(net, tmp_path / 'epoch_1.pth', depth=18, **narrow)
    text = rf'conv1\.weight \(8, 3, 7, 7\) and the ResNet-18 of {library} \(64, 3, 7, 7\)'
    with pytest.raises(ValueError, match=text):
        export_backbone(path, library, tmp_path / f'net{ENDINGS[library][0]}')
    said = export_backbone(path, 'mmdet', tmp_path / 'net.pth')
    assert 'depth=18, stem_channels=8, base_channels=4, style' in said
    assert 'shared_head' not in said  # mmdet's is 64 wide


@pytest.mark.parametrize(
    ('backbone', 'text'),
    [
        (dict(depth=50, style='caffe'), r"style='caffe'"),
        (
            dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
            r'strides=\[1, 2, 2, 1\], dil',
        ),
        (dict(norm_cfg=dict(type='BN', eps=0.1)), r'eps=0\.1'),
    ],
)
def test_what_no_name_shows(backbone, text, tmp_path):
    """The tensors would load, and compute something else."""
    backbone = dict(depth=18) | backbone
    net = built(**backbone)
    other = built(depth=backbone['depth'])
    other.load_state_dict(net.state_dict())
    got, want = features(other), features(net)
    assert got.shape != want.shape or (got - want).abs().max() > 0.01 * want.abs().max()
    path = save(net, tmp_path / 'epoch_1.pth', **backbone)
    for library in ('torchvision', 'timm'):
        with pytest.raises(ValueError, match=rf'was trained with {text}'):
            export_backbone(path, library, tmp_path / 'net.pth')
    said = export_backbone(path, 'mmpretrain', tmp_path / 'net.pth')
    same_features(features(as_said(said)), net)
    if 'style' in backbone:
        said = export_backbone(path, 'detectron2', tmp_path / 'net.pkl')
        assert 'STRIDE_IN_1X1: True' in said
    else:
        with pytest.raises(ValueError, match=rf'was trained with {text}'):
            export_backbone(path, 'detectron2', tmp_path / 'net.pkl')


def test_a_config_of_ones_own(tmp_path):
    """Where the checkpoint has none; and it has to be the right one."""
    backbone = dict(type='ResNet', depth=18, norm_cfg=dict(type='BN', eps=0.1))
    net = built(**backbone)
    torch.save(net.state_dict(), tmp_path / 'bare.pth')
    words = (tmp_path / 'bare.pth', 'torchvision', tmp_path / 'net.pth')
    assert 'which the checkpoint does not say' in export_backbone(*words)
    assert metadata(tmp_path / 'net.pth')['style_from'] == 'default'
    with pytest.raises(ValueError, match=r'eps=0\.1'):
        export_backbone(*words, config=Config(dict(model=dict(backbone=backbone))))
    backbone['depth'] = 34
    with pytest.raises(ValueError, match='fits the backbone in part'):
        export_backbone(*words, config=Config(dict(model=dict(backbone=backbone))))


def test_the_student_unless_the_teacher_is_asked_for(tmp_path):
    init_default_scope('mmlogo')
    tiny = encoder(dict(type='BN'))
    one, two = MODELS.build(tiny).state_dict(), MODELS.build(tiny).state_dict()
    state = {f'backbone.{k}': v for k, v in one.items()}
    state |= {f'teacher.backbone.{k}': torch.randn(v.shape) for k, v in two.items()}
    torch.save(dict(state_dict=state), tmp_path / 'a.pth')
    got = read_backbone(tmp_path / 'a.pth')
    assert got.prefix == 'state_dict.backbone.'
    assert all(torch.equal(got.state[name], value) for name, value in one.items())
    prefix = 'state_dict.teacher.backbone.'
    got = read_backbone(tmp_path / 'a.pth', prefix=prefix)
    name = 'layer1.0.conv1.weight'
    assert torch.equal(got.state[name], state[f'teacher.backbone.{name}'])


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        (lambda state: state.pop('bn1.bias'), r'part of a ResNet-18: 1 .* as bn1\.bias'),
        (
            lambda state: [state.pop(k) for k in [*state] if k.startswith('layer4.1.')],
            r'no plain ResNet: blocks \(2, 2, 2, 1\)',
        ),
        (
            lambda state: state.update({'layer1.0.se.fc1.weight': torch.zeros(2)}),
            r'no plain ResNet: .*and layer1\.0\.se\.fc1\.weight',
        ),
        (
            lambda state: [state.clear(), state.update(w=torch.zeros(1))],
            'another kind of network',
        ),
    ],
)
def test_what_is_no_resnet(change, text, tmp_path):
    state = dict(built(base_channels=4, stem_channels=4).state_dict())
    change(state)
    torch.save(state, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=text):
        export_backbone(tmp_path / 'a.pth', 'mmpretrain', tmp_path / 'b.pth')


def test_files_that_make_no_sense(small, tmp_path):
    _, path = small
    with pytest.raises(ValueError, match=r'net\.pth: detectron2 reads \.pkl; change'):
        export_backbone(path, 'detectron2', tmp_path / 'net.pth')
    with pytest.raises(ValueError, match=r'epoch_1\.pth is the checkpoint itself'):
        export_backbone(path, 'torchvision', path)


def test_the_tool(small, tmp_path, capsys):
    net, path = small
    out = tmp_path / 'sub' / 'net.safetensors'
    tool('export_backbone', path, '--to', 'timm', out)
    assert capsys.readouterr().out.startswith('model = timm.create_model(')
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in load_file(out).items())
    meta = metadata(out)
    assert meta['exported_by'].startswith('mmlogo ')
