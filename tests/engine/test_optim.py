"""Learning rates that are held, groups, mixed precision."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import build, logo_head, simsiam_logo
from mmengine.optim import CosineAnnealingLR, LinearLR, OptimWrapper

from mmlogo.engine.optim import AutocastOptimWrapper, GroupedOptimWrapperConstructor

HELD = {
    'head.pull.predictor': dict(hold_lr=True),
    'head.affinity': dict(hold_lr=True, lr=0.3),
}


def construct(model, custom_keys=None, **wrapper):
    cfg = dict(optimizer=dict(type='SGD', lr=0.1, weight_decay=5e-4), **wrapper)
    paramwise = dict(custom_keys=HELD if custom_keys is None else custom_keys)
    return GroupedOptimWrapperConstructor(cfg, paramwise)(model)


def rates(wrapper: OptimWrapper, model) -> dict[str, float]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: group['lr']
        for group in wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.fixture
def model():
    return build(simsiam_logo())


def test_held_through_chained_schedulers(model):
    """What SGD steps with, under a warm-up and a cosine that both multiply."""
    wrapper = construct(model)
    schedulers = [
        LinearLR(wrapper, start_factor=0.1, begin=0, end=5),
        CosineAnnealingLR(wrapper, T_max=20, eta_min=0.0, begin=5, end=25),
    ]
    used: list[dict[str, float]] = []
    wrapper.optimizer.register_step_post_hook(lambda *_: used.append(rates(wrapper, model)))
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    for _ in range(25):
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    assert {u['head.pull.predictor.fc0.weight'] for u in used} == {0.1}
    assert {u['head.affinity.f.0.weight'] for u in used} == {0.3}
    backbone = [u['backbone.conv1.weight'] for u in used]
    assert backbone[0] == pytest.approx(0.01)
    assert max(backbone) == pytest.approx(0.1)
    assert backbone[-1] < 0.01


def test_held_at_the_scaled_rate(model):
    """`--auto-scale-lr` multiplies the groups before schedulers are built."""
    wrapper = construct(model)
    for group in wrapper.optimizer.param_groups:
        group['lr'] *= 2
    scheduler = CosineAnnealingLR(wrapper, T_max=4, eta_min=0.0)
    for _ in range(3):
        wrapper.step()
        scheduler.step()
    wrapper.step()
    got = rates(wrapper, model)
    assert got['head.affinity.f.0.weight'] == pytest.approx(0.6)
    assert got['head.pull.predictor.fc0.weight'] == pytest.approx(0.2)
    assert got['backbone.conv1.weight'] < 0.1


def test_held_after_a_resume(model):
    wrapper = construct(model)
    scheduler = CosineAnnealingLR(wrapper, T_max=4, eta_min=0.0)
    wrapper.step(), scheduler.step()
    state = copy.deepcopy(wrapper.state_dict())
    resumed = construct(model)
    resumed.load_state_dict(state)
    resumed_scheduler = CosineAnnealingLR(resumed, T_max=4, eta_min=0.0)
    resumed_scheduler.load_state_dict(scheduler.state_dict())
    resumed.step(), resumed_scheduler.step(), resumed.step()
    assert rates(resumed, model)['head.affinity.f.0.weight'] == 0.3


def test_without_a_scheduler_nothing_happens(model):
    wrapper = construct(model)
    wrapper.step()
    assert rates(wrapper, model)['head.affinity.f.0.weight'] == 0.3


def test_equal_options_share_a_group(model):
    wrapper = construct(model)
    assert len(wrapper.optimizer.param_groups) == 3
    count = sum(len(group['params']) for group in wrapper.optimizer.param_groups)
    assert count == len(list(model.parameters()))


@pytest.mark.parametrize(
    ('key', 'hint'),
    [
        ('head.pull.predicter', 'did you mean .head.pull.predictor.'),
        ('xyz', 'no trainable'),
    ],
)
def test_a_key_that_matches_nothing(model, key, hint):
    with pytest.raises(ValueError, match=hint):
        construct(model, {key: dict(hold_lr=True)})


def test_a_part_that_was_left_out_is_no_typo():
    views = dict(global_views=dict(role='global', count=2, size=16, scale=(0.4, 1.0)))
    model = build(simsiam_logo(views, head=logo_head(affinity=None)))
    assert len(construct(model).optimizer.param_groups) == 2


class TestAutocast:
    def test_trains_in_bfloat16_with_float32_weights_and_losses(
        self, model, photo_images, seeds
    ):
        seen = []
        model.backbone.conv1.register_forward_hook(lambda *a: seen.append(a[2].dtype))
        wrapper = construct(model, type='AutocastOptimWrapper')
        assert isinstance(wrapper, AutocastOptimWrapper)
        out = model.train_step(
            dict(inputs=photo_images, seeds=seeds(len(photo_images))), wrapper
        )
        assert seen[0] == torch.bfloat16
        assert all(v.dtype == torch.float32 for v in out.values())
        assert all(p.dtype == torch.float32 for p in model.parameters())

    def test_close_to_float32(self, photo_images, seeds):
        data = dict(inputs=photo_images, seeds=seeds(len(photo_images)))
        results = []
        for kind in ('OptimWrapper', 'AutocastOptimWrapper'):
            model = build(simsiam_logo())
            results.append(model.train_step(data, construct(model, type=kind)))
        for name in ('loss_gg', 'loss_lg', 'loss_affinity'):
            assert results[0][name].item() == pytest.approx(
                results[1][name].item(), abs=0.02
            )

    def test_float16_needs_scaling(self, model):
        with pytest.raises(ValueError, match="dtype='float16' would underflow"):
            AutocastOptimWrapper(
                dtype='float16', optimizer=torch.optim.SGD(model.parameters(), lr=0.1)
            )
