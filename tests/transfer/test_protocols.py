"""What decides a detector's AP after pretraining, config by config."""

from __future__ import annotations

import re

import pytest
import torch
from helpers import ROOT
from mmcv.cnn import is_norm
from torch import nn

from mmlogo.checkpoints.export import export_backbone
from mmlogo.checkpoints.match import load_pretrained
from mmlogo.config import configs_folder
from mmlogo.launch.lint import check_keys
from mmlogo.transfer.operators import is_compiled
from mmlogo.transfer.trunk import doubts_about, learning_of, trunk_of

pytest.importorskip('mmdet', reason="no mmdet; pip install -e '.[detection]'")

from mmdet.registry import MODELS

NAMES = sorted(path.stem for path in (configs_folder() / 'detection').glob('*.py'))
PUBLISHED = [name for name in NAMES if '_r50_' in name]
assert len(PUBLISHED) == 5
assert len(NAMES) == 8


def depth_of(name: str) -> int:
    return 50 if '_r50_' in name else 18


def built(config, name: str, **model) -> nn.Module:
    cfg = config(name)
    cfg.merge_from_dict(dict(model=model))
    return MODELS.build(cfg.model).train()


@pytest.mark.parametrize(
    'name',
    [pytest.param(x, marks=pytest.mark.slow if x in PUBLISHED else ()) for x in NAMES],
)
def test_every_tensor_arrives_and_computes_what_it_did(name, config, resnets, normalised):
    source, path = resnets(depth_of(name))
    model = built(config, name)
    report = load_pretrained(trunk := trunk_of(model), path)
    assert not report.missing
    assert not report.mismatched
    assert report.unexpected == ['fc.weight', 'fc.bias']
    loaded = trunk.state_dict()
    assert set(loaded) == set(source.state_dict()) - {'fc.weight', 'fc.bias'}
    for key, value in loaded.items():
        assert torch.equal(value, source.state_dict()[key]), key

    # names and shapes do not tell where a stride is: the same features do
    with torch.no_grad():
        model.eval()
        have = list(model.backbone(normalised))
        if hasattr(model, 'roi_head') and model.roi_head.with_shared_head:
            have.append(model.roi_head.shared_head.layer4(have[-1]))
        x = source.maxpool(source.relu(source.bn1(source.conv1(normalised))))
        want = [x := getattr(source, f'layer{i}')(x) for i in (1, 2, 3, 4)]
    for mine, theirs in zip(have, want[-len(have) :], strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('name', NAMES)
def test_nothing_is_frozen_and_every_norm_is_synchronised(name, config):
    model = built(config, name)
    norms = [x for x in model.modules() if is_norm(x)]
    assert all(isinstance(x, nn.SyncBatchNorm) for x in norms)
    assert all(x.training for x in norms)
    assert all(p.requires_grad for p in model.parameters())
    assert list(doubts_about(model, None)) == []
    trunk = {
        18: '60 of 60 parameters learn, 20 of 20',
        50: '159 of 159 parameters learn, 53',
    }
    assert learning_of(trunk_of(model)).startswith(trunk[depth_of(name)])
    outside = len(norms) - (20 if depth_of(name) == 18 else 53)
    # C4: after res5. FPN: four lateral and four output convolutions, four of boxes and
    # of masks. RetinaNet: none
    want = 1 if '_c4_' in name else 16 if 'mask_rcnn' in name else 0
    assert outside == want


@pytest.mark.parametrize('name', PUBLISHED)
def test_schedules_and_sizes(name, config):
    cfg = config(name)
    iterations, steps, warm_up, sides = {
        '24k': (24000, [18000, 22000], 100, range(480, 801, 32)),
        '1x': (90000, [60000, 80000], 1000, range(640, 801, 32)),
        '2x': (180000, [120000, 160000], 1000, range(640, 801, 32)),
    }[next(part for part in name.split('_') if part in ('24k', '1x', '2x'))]
    assert cfg.global_batch_size == 16
    assert 'batch_size' not in cfg.train_dataloader
    assert cfg.train_cfg.max_iters == iterations
    first, second = cfg.param_scheduler
    assert (first.type, first.end, second.type) == ('LinearLR', warm_up, 'MultiStepLR')
    assert second.milestones == steps
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (0.02, 0.9, 1e-4)
    assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == 0
    dataset = cfg.train_dataloader.dataset
    for part in dataset.get('datasets', [dataset]):
        resize = next(x for x in part.pipeline if x.type == 'RandomChoiceResize')
        assert resize.scales == [(1333, side) for side in sides]
    resize = next(x for x in cfg.test_dataloader.dataset.pipeline if x.type == 'Resize')
    assert resize.scale == (1333, 800)


@pytest.mark.parametrize('name', PUBLISHED)
def test_heads(name, config):
    model = built(config, name)
    boxes = model.roi_head.bbox_head
    assert boxes.num_classes == (20 if 'voc' in name else 80)
    if '_fpn_' in name:
        assert len(boxes.shared_convs) == 4
        assert all(isinstance(x.norm, nn.SyncBatchNorm) for x in boxes.shared_convs)
        assert [x.out_features for x in boxes.shared_fcs] == [1024]
        assert len(model.roi_head.mask_head.convs) == 4
    else:
        assert model.roi_head.shared_head.norm.num_features == 2048
        assert model.rpn_head.train_cfg.allowed_border == -1
        assert model.roi_head.with_mask == ('mask_rcnn' in name)


def test_the_norm_after_res5(config):
    head = built(config, 'faster_rcnn_r18_c4_coco_mini').roi_head.shared_head
    x = torch.randn(8, 256, 6, 6)
    y = head(x)
    assert y.shape == (8, 512, 3, 3)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    assert (y.var((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-2
    torch.testing.assert_close(y, head.norm(head.layer4(x)))


C4 = 'faster_rcnn_r18_c4_coco_mini'
FPN = 'mask_rcnn_r18_fpn_coco_mini'
FROZEN = dict(type='BN', requires_grad=False)


@pytest.mark.parametrize(
    ('name', 'change', 'text'),
    [
        (
            FPN,
            {'backbone.frozen_stages': 0},
            r'3 of 60 parameters are frozen \(in bn1, conv1',
        ),
        (FPN, {'backbone.frozen_stages': 1}, r'\(in bn1, conv1, layer1\)'),
        (FPN, {'backbone.norm_cfg': FROZEN}, '40 of 60 parameters are frozen'),
        (FPN, {'backbone.norm_eval': True}, '20 of 20 BatchNorms keep the statistics'),
        (C4, {'backbone.norm_eval': True}, '15 of 20 BatchNorms keep the statistics'),
        (
            C4,
            # mmdet leaves SyncBN alone here
            {'roi_head.shared_head': dict(norm_eval=True, norm_cfg=dict(type='BN'))},
            '5 of 20 BatchNorms keep',
        ),
        (C4, {'roi_head.shared_head.norm_cfg': FROZEN}, r'10 of 60 .*\(in layer4\)'),
        (FPN, {'data_preprocessor.bgr_to_rgb': False}, 'BGR, and pretraining saw RGB'),
        (FPN, {'data_preprocessor.std': [1.0, 1.0, 1.0]}, r'std is \[1.0, 1.0, 1.0\]'),
        (FPN, {'data_preprocessor.mean': [103.53, 116.28, 123.675]}, 'mean is'),
        (
            FPN,
            {'data_preprocessor.mean': None, 'data_preprocessor.std': None},
            'not normalised',
        ),
    ],
    ids=lambda x: '-'.join(x) if isinstance(x, dict) else '',
)
def test_a_setting_that_costs_ap_is_doubted(name, change, text, config):
    cfg = config(name)
    cfg.merge_from_dict({f'model.{key}': value for key, value in change.items()})
    model = MODELS.build(cfg.model).train()
    doubts = list(doubts_about(model, None))
    # what is frozen keeps its statistics, too
    assert len(doubts) == 1 + ('backbone.frozen_stages' in change), doubts
    assert re.search(text, doubts[0]), doubts


def test_a_norm_of_one_process_is_doubted(config, monkeypatch):
    model = built(config, FPN, backbone=dict(norm_cfg=dict(type='BN')))
    assert list(doubts_about(model, None)) == []  # there is but one
    monkeypatch.setattr('mmlogo.transfer.trunk.get_world_size', lambda: 8)
    (doubt,) = doubts_about(model, None)
    assert doubt.startswith('20 BatchNorms (such as backbone.bn1) have statistics of the')
    assert list(doubts_about(built(config, FPN), None)) == []


def test_boxes_without_a_norm_are_doubted(config):
    cfg = config(C4)
    cfg.model.roi_head.shared_head.update(type='ResLayer', _scope_='mmdet')
    model = MODELS.build(cfg.model)
    (doubt,) = doubts_about(model.train(), None)
    assert 'Res5WithNorm' in doubt
    frozen = dict(type='BN', requires_grad=False)
    cfg.model.roi_head.shared_head.update(norm_cfg=frozen, norm_eval=True)
    doubts = list(doubts_about(MODELS.build(cfg.model).train(), None))
    assert not any('Res5WithNorm' in doubt for doubt in doubts)


def test_a_c4_detector_gives_its_trunk_back(config, resnets, tmp_path):
    """All of it, to a pyramid and to torchvision."""
    source, path = resnets(18)
    model = built(config, C4)
    load_pretrained(trunk_of(model), path)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'c4.pth')
    for other in (C4, FPN):
        trunk = trunk_of(built(config, other))
        assert not load_pretrained(trunk, tmp_path / 'c4.pth').missing
        assert torch.equal(trunk.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    export_backbone(tmp_path / 'c4.pth', 'torchvision', tmp_path / 'r18.pth')
    found = torch.load(tmp_path / 'r18.pth', weights_only=True)
    found = found.get('state_dict', found)
    assert all(torch.equal(x, source.state_dict()[name]) for name, x in found.items())
    assert len(found) == 120


def test_images_are_compared_with_the_pretrainings_own(config):
    """Of a checkpoint that says what it was trained with."""
    said = (
        "model = dict(data_preprocessor=dict(type='MultiCropPreprocessor', "
        'mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]))'
    )
    model = built(config, FPN)
    mean, std = doubts_about(model, said)
    assert 'pretraining had [127.5, 127.5, 127.5]; set the same' in mean
    assert 'data_preprocessor.std' in std
    same = dict(mean=[127.5] * 3, std=[127.5] * 3)
    model = built(config, FPN, data_preprocessor=same)
    assert list(doubts_about(model, said)) == []


def test_strides_of_caffe_are_refused_which_keys_and_shapes_let_pass(
    config, resnets, normalised, tmp_path
):
    source, path = resnets(50)
    name = 'faster_rcnn_r50_c4_24k_voc0712'
    caffe = dict(backbone=dict(style='caffe'))
    model = built(config, name, **caffe)
    wanted = trunk_of(model).state_dict()
    found = source.state_dict()
    assert {k: v.shape for k, v in wanted.items()} == {
        k: found[k].shape for k in found if not k.startswith('fc.')
    }
    with pytest.raises(ValueError, match=r"layer2\.0, layer3\.0 of .* set style='pytorch'"):
        load_pretrained(trunk_of(model), path)
    with pytest.raises(ValueError, match=r'else: layer4\.0 of this network'):
        load_pretrained(
            trunk_of(built(config, name, roi_head=dict(shared_head=dict(style='caffe')))),
            path,
        )
    # and rightly: what it would compute is something else
    trunk_of(model).load_state_dict(found, strict=False)
    with torch.no_grad():
        (have,) = model.eval().backbone(normalised)
        x = source.maxpool(source.relu(source.bn1(source.conv1(normalised))))
        want = source.layer3(source.layer2(source.layer1(x)))
    assert (have - want).norm() > 0.1 * want.norm()
    # of a pretraining that says it strides there, too
    cfg = "model = dict(backbone=dict(depth=50, style='caffe', type='ResNet'))"
    torch.save(dict(meta=dict(cfg=cfg), state_dict=found), tmp_path / 'caffe.pth')
    both = dict(**caffe, roi_head=dict(shared_head=dict(style='caffe')))
    load_pretrained(trunk_of(built(config, name, **both)), tmp_path / 'caffe.pth')
    with pytest.raises(ValueError, match=r"config in the checkpoint .* set style='caffe'"):
        load_pretrained(trunk_of(built(config, name)), tmp_path / 'caffe.pth')


def test_a_frozen_trunk_is_intended(config):
    model = built(config, FPN)
    model.backbone.requires_grad_(False)
    model.backbone.eval()
    assert list(doubts_about(model, None)) == []
    assert learning_of(model.backbone).startswith('0 of 60 parameters learn, 0 of 20')


def test_a_model_without_a_backbone_is_named():
    with pytest.raises(ValueError, match='Linear has no backbone'):
        trunk_of(nn.Linear(2, 2))


def test_no_config_is_forgotten():
    """In the page that lists them."""
    page = ROOT / 'docs' / 'detection.md'
    text = page.read_text()
    names = [*NAMES, 'simsiam_logo_r18_coco_mini']
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ({'model.test_cfg.nms.type': 'soft_nms'}, r"test_cfg\.nms\.type='soft_nms'"),
        ({'model.backbone.dcn': dict(type='DCNv2')}, r"backbone\.dcn\.type='DCNv2'"),
    ],
)
def test_compiled_code_that_is_missing_is_named_before_it_is_wanted(change, text, config):
    """The first would be asked for in the first evaluation, after hours."""
    if is_compiled():
        pytest.skip('mmcv has its compiled operators here')
    cfg = config('retinanet_r18_fpn_coco_mini')
    check_keys(cfg)
    cfg.merge_from_dict(change)
    with pytest.raises(NotImplementedError, match=f'{text}: compiled code of mmcv.*pip in'):
        check_keys(cfg)
