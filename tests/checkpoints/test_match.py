"""A backbone out of checkpoints of every origin, to the last bit or not at all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from helpers import build, byol, encoder, moco, simsiam
from mmengine.logging import HistoryBuffer
from mmengine.registry import init_default_scope
from safetensors.torch import save_file
from torch import Tensor, nn

from mmlogo.checkpoints.match import load_pretrained
from mmlogo.registry import MODELS


def backbone(depth: int = 18, **changes) -> nn.Module:
    """mmpretrain's ResNet, drawn anew."""
    init_default_scope('mmlogo')
    return MODELS.build(dict(type='ResNet', depth=depth) | changes)


def tiny(**changes) -> nn.Module:
    init_default_scope('mmlogo')
    return MODELS.build(encoder(dict(type='BN')) | changes)


def drawn(module: nn.Module) -> dict[str, Tensor]:
    """Its state with no tensor left as a constructor makes it."""
    return {
        name: torch.randint(1, 9, value.shape)
        if 'num_batches' in name
        else torch.randn(value.shape)
        for name, value in module.state_dict().items()
    }


def same(module: nn.Module, state: dict[str, Tensor]) -> bool:
    """Whether every tensor of the module is the one of that name in `state`."""
    return all(torch.equal(v, state[name]) for name, v in module.state_dict().items())


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize(
    'make',
    [
        lambda depth: getattr(torchvision.models, f'resnet{depth}')(),
        lambda depth: timm.create_model(f'resnet{depth}', pretrained=False),
    ],
    ids=['torchvision', 'timm'],
)
def test_bare_networks_of_other_libraries(make, depth, tmp_path):
    state = drawn(make(depth))
    torch.save(state, tmp_path / 'net.pth')
    into = backbone(depth)
    report = load_pretrained(into, tmp_path / 'net.pth')
    assert same(into, state)
    assert report.matched == list(into.state_dict())
    assert (report.prefix, report.missing) == ('', [])
    assert report.unexpected == ['fc.weight', 'fc.bias']


HEAD = {'weight': torch.zeros(3, 4), 'bias': torch.zeros(3)}


def under(**networks: dict[str, Tensor]) -> dict[str, Tensor]:
    """`prefix=state` put together, the prefixes with underscores doubled for dots."""
    return {
        f'{prefix.replace("__", ".")}.{name}': value
        for prefix, state in networks.items()
        for name, value in state.items()
    }


LAYOUTS: dict[str, tuple[str, Callable[[dict, dict], dict]]] = {
    'MoCo': (
        'state_dict.module.encoder_q.',
        lambda new, old: dict(
            epoch=200,
            arch='resnet50',
            state_dict=under(module__encoder_k=old, module__encoder_q=new),
            optimizer=dict(state={0: dict(momentum_buffer=torch.zeros(3))}),
        ),
    ),
    'SimSiam': (
        'state_dict.module.encoder.',
        lambda new, _: dict(
            state_dict=under(
                module__encoder=new, module__encoder__fc__0=HEAD, module__predictor__0=HEAD
            )
        ),
    ),
    'BYOL': (
        'online.net.',
        lambda new, old: under(target__net=old, online__net=new, online__predictor=HEAD),
    ),
    'BYOL as mmpretrain has it': (
        'state_dict.backbone.',
        lambda new, old: dict(
            state_dict=under(target_net__module__0=old, backbone=new, head__predictor=HEAD)
        ),
    ),
    'solo-learn': (
        'state_dict.backbone.',
        lambda new, old: dict(
            state_dict=under(momentum_backbone=old, backbone=new, classifier=HEAD),
            hyper_parameters=dict(method='mocov2plus'),
        ),
    ),
    'an encoder': ('encoder.', lambda new, _: under(encoder=new)),
    'a wrapped classifier': (
        'module.backbone.',
        lambda new, _: under(module__backbone=new, module__head__fc=HEAD),
    ),
    'DINO': (
        'student.module.backbone.',
        lambda new, old: dict(
            teacher=under(module__backbone=old), student=under(module__backbone=new)
        ),
    ),
    'an averaged copy beside it': (
        'state_dict.backbone.',
        lambda new, old: dict(
            ema_state_dict=under(module__backbone=old), state_dict=under(backbone=new)
        ),
    ),
}


@pytest.mark.parametrize('layout', LAYOUTS)
def test_the_student_is_found_under_any_prefix(layout, tmp_path):
    prefix, arrange = LAYOUTS[layout]
    into = tiny()
    student, copy = drawn(into), drawn(into)
    torch.save(arrange(student, copy), tmp_path / 'net.pth.tar')
    report = load_pretrained(into, tmp_path / 'net.pth.tar')
    assert same(into, student)
    assert report.prefix == prefix


@pytest.mark.parametrize('make', [simsiam, byol, moco])
def test_checkpoints_of_self_supervised_models(make, tmp_path):
    """Split BN, momentum copies and the log that MMEngine saves beside the weights."""
    model = build(make())
    model.load_state_dict(drawn(model))
    content = dict(
        meta=dict(epoch=1),
        state_dict=model.state_dict(),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
    )
    torch.save(content, tmp_path / 'epoch_1.pth')
    into = tiny()
    report = load_pretrained(into, tmp_path / 'epoch_1.pth')
    assert same(into, model.backbone.state_dict())
    assert report.prefix == 'state_dict.backbone.'


def test_safetensors(tmp_path):
    state = drawn(tiny())
    save_file(under(backbone=state), tmp_path / 'net.safetensors')
    into = tiny()
    load_pretrained(into, tmp_path / 'net.safetensors')
    assert same(into, state)


def test_counts_of_batches_may_be_missing(tmp_path):
    state = {k: v for k, v in drawn(tiny()).items() if 'num_batches' not in k}
    torch.save(state, tmp_path / 'old.pth')
    into = tiny()
    report = load_pretrained(into, tmp_path / 'old.pth')
    assert {name.rpartition('.')[2] for name in report.missing} == {'num_batches_tracked'}
    assert all(torch.equal(into.state_dict()[name], v) for name, v in state.items())


def test_a_copy_alone_is_refused_and_can_be_asked_for(tmp_path):
    state = drawn(tiny())
    torch.save(under(teacher__backbone=state), tmp_path / 'net.pth')
    into = tiny()
    with pytest.raises(ValueError, match=r'only as a momentum copy, under teacher\.backb'):
        load_pretrained(into, tmp_path / 'net.pth')
    load_pretrained(into, tmp_path / 'net.pth', prefix='teacher.backbone.')
    assert same(into, state)


def test_two_students_are_one_too_many(tmp_path):
    one, two = drawn(tiny()), drawn(tiny())
    torch.save(under(left=one, right=two), tmp_path / 'net.pth')
    into = tiny()
    with pytest.raises(ValueError, match=r'several such networks, under left\., right\.'):
        load_pretrained(into, tmp_path / 'net.pth')
    torch.save(under(left=one, right=one), tmp_path / 'net.pth')  # one by two names
    load_pretrained(into, tmp_path / 'net.pth')
    assert same(into, one)


def refused(into: nn.Module, path, text: str, **options) -> None:
    """It raises, and leaves every tensor as it was."""
    before = {name: value.clone() for name, value in into.state_dict().items()}
    with pytest.raises(ValueError, match=text):
        load_pretrained(into, path, **options)
    assert same(into, before)


def test_nothing_matches(tmp_path):
    torch.save({'blocks.0.attention.weight': torch.zeros(2)}, tmp_path / 'vit.pth')
    text = r'no tensor of the backbone: it holds blocks\.0\.attention\.weight, the backbone'
    refused(tiny(), tmp_path / 'vit.pth', text)
    torch.save({}, tmp_path / 'empty.pth')
    refused(tiny(), tmp_path / 'empty.pth', 'it holds none')
    torch.save(under(backbone=drawn(tiny())), tmp_path / 'net.pth')
    refused(tiny(), tmp_path / 'net.pth', r"prefix 'encoder\.'", prefix='encoder.')


def test_another_width_names_both_shapes(tmp_path):
    torch.save(under(backbone=drawn(tiny(base_channels=8))), tmp_path / 'wide.pth')
    text = r'layer1\.0\.conv1\.weight \(8, 4, 3, 3\) where the backbone has \(4, 4, 3, 3\)'
    refused(tiny(), tmp_path / 'wide.pth', text)
    refused(tiny(), tmp_path / 'wide.pth', text, allow_partial=True)


def test_a_part_is_refused_unless_allowed(tmp_path):
    state = drawn(tiny())
    part = {name: v for name, v in state.items() if not name.startswith('layer4')}
    torch.save(under(backbone=part), tmp_path / 'part.pth')
    text = r'(?s)fits the backbone in part.*layer4\.0\.conv1\.weight.*--allow-partial'
    refused(tiny(), tmp_path / 'part.pth', text)
    into = tiny()
    report = load_pretrained(into, tmp_path / 'part.pth', allow_partial=True)
    assert set(report.matched) == set(part)
    assert torch.equal(into.layer1[0].conv1.weight, state['layer1.0.conv1.weight'])


def test_half_of_a_deeper_network_is_a_part_too(tmp_path):
    """Every tensor of a ResNet-18 is in a ResNet-34."""
    torch.save(under(backbone=drawn(tiny(depth=34))), tmp_path / 'deep.pth')
    refused(
        tiny(), tmp_path / 'deep.pth', r'0 of the backbone .* a deeper one are \(layer1'
    )
    # but a stage that the backbone does not have is no part of it
    short = tiny(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    state = drawn(tiny())
    torch.save(under(backbone=state), tmp_path / 'four.pth')
    load_pretrained(short, tmp_path / 'four.pth')
    assert same(short, state)


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'legacy'])
def test_a_file_that_was_cut_off(zipped, tmp_path):
    path = tmp_path / 'net.pth'
    torch.save(drawn(tiny()), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:5000])
    refused(tiny(), path, r'net\.pth \(5,000 bytes\) cannot be read .* it may be cut off')


def test_the_report_is_short(tmp_path):
    state = drawn(tiny())
    state.pop('bn1.num_batches_tracked')
    torch.save(dict(state_dict=under(backbone=state, head=HEAD)), tmp_path / 'net.pth')
    text = str(load_pretrained(tiny(), tmp_path / 'net.pth'))
    assert text == (
        f"{tmp_path / 'net.pth'}, under 'state_dict.backbone.': 119 tensors matched, "
        '1 missing (bn1.num_batches_tracked)'
    )
