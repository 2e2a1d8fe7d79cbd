"""The watch over collapse: what it measures, what it says, when it fires."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import VIEWS, moco, simsiam_logo
from mmengine.registry import init_default_scope
from torch import nn

from mmlogo.engine.hooks import collapse
from mmlogo.engine.hooks.collapse import CollapseError, CollapseHook, diagnose, measure
from mmlogo.evaluation.spectrum import rank_me, std_ratio
from mmlogo.registry import MODELS

WELL = {
    'std_ratio/global': 0.9,
    'mean_cosine/global': 0.1,
    'rank_me/global': 40.0,
    'rank_share/global': 31.0,
    'std_ratio/local': 0.9,
    'mean_cosine/local': 0.1,
    'rank_me/local': 40.0,
    'rank_share/local': 31.0,
    'alignment/local_to_global': 0.7,
    'std_ratio/backbone': 0.9,
    'rank_me/backbone': 30.0,
    'rank_share/backbone': 23.0,
    'constant/backbone': 0.0,
    'update/backbone': 0.05,
}


def findings(**changes: float) -> dict[str, str]:
    changed = {name.replace('__', '/'): value for name, value in changes.items()}
    return diagnose(WELL | changed, min_std_ratio=0.1, min_rank_share=5.0)


def test_nothing_is_said_of_a_healthy_run():
    assert findings() == {}
    # an exponent through one eigenvalue is infinite, not a number gone wrong
    assert findings(alpha_req__global=math.inf) == {}


@pytest.mark.parametrize(
    ('changes', 'where', 'text'),
    [
        (dict(std_ratio__global=math.nan), 'numbers', 'not finite. The learning rate is'),
        (
            dict(std_ratio__global=0.01),
            'global',
            r'nearly one vector.*0\.010.*no\s*gradient',
        ),
        (dict(rank_share__global=2.0), 'global', r'40\.0 directions .*, 2\.0 %'),
        (dict(rank_share__backbone=2.0), 'backbone', 'centred features lie in'),
        (
            dict(std_ratio__local=0.01),
            'local',
            'The global crops are well.*raise the scale',
        ),
        (
            dict(std_ratio__global=0.01, update__backbone=20.0),
            'global',
            'last layer by 20 % .*learning rate is too high',
        ),
        (
            dict(rank_share__backbone=1.0, constant__backbone=80.0),
            'backbone',
            '80 % of the channels are the same.*learning rate is too high',
        ),
    ],
)
def test_a_finding_names_what_was_seen_and_the_likely_cause(changes, where, text):
    import re

    (found,) = findings(**changes).items()
    assert found[0] == where
    assert re.search(text, found[1], re.DOTALL), found[1]


def views_of(model: nn.Module, images, seeds) -> list:
    data = model.data_preprocessor(dict(inputs=images, seeds=seeds(len(images))), True)
    return data['inputs']


@pytest.fixture
def model() -> nn.Module:
    init_default_scope('mmlogo')
    return MODELS.build(simsiam_logo()).train()


def test_it_measures_each_crop_type_and_changes_nothing(model, photo_images, seeds):
    views = views_of(model, photo_images[:16], seeds)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = measure(model, views[:2], views[2:], images=12)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(module.training for module in model.modules())

    model.eval()
    with torch.no_grad():
        z, z_local = (model.embed(x[:12]) for x in (views[0], views[2]))
    assert seen['std_ratio/global'] == pytest.approx(std_ratio(z))
    assert seen['rank_me/local'] == pytest.approx(rank_me(z_local))
    assert seen['rank_share/local'] == pytest.approx(100 * rank_me(z_local) / 8)
    cosine = torch.cosine_similarity(z_local[:, None], z[None], dim=2)
    same = torch.eye(12, dtype=torch.bool)
    assert seen['alignment/local_to_global'] == pytest.approx(cosine[same].mean().item())
    assert seen['mean_cosine/local_to_global'] == pytest.approx(
        cosine[~same].mean().item(), abs=1e-6
    )
    best = cosine.argmax(1) == torch.arange(12)
    assert seen['top1/local_to_global'] == pytest.approx(100 * best.float().mean().item())


def test_without_local_views_the_globals_are_compared(photo_images, seeds):
    init_default_scope('mmlogo')
    model = MODELS.build(moco(dict(global_views=VIEWS['global_views']))).train()
    views = views_of(model, photo_images[:8], seeds)
    seen = measure(model, views, [])
    assert 'alignment/global_to_global' in seen
    assert not any('local' in name for name in seen)
    assert measure(model, [views[0], views[0]], [])['alignment/global_to_global'] == (
        pytest.approx(1)
    )


def test_numbers_that_are_not_finite_are_a_finding(model, photo_images, seeds):
    views = views_of(model, photo_images[:8], seeds)
    model.backbone.conv1.weight.data.fill_(math.nan)
    seen = measure(model, views[:2], views[2:])
    assert diagnose(seen, 0.1, 5.0).keys() == {'numbers'}


class Runner(SimpleNamespace):
    """What the hook uses of a runner."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model=model, epoch=0, iter=0, written=[], warnings=[])
        self.visualizer = SimpleNamespace(
            add_scalars=lambda scalars, step: self.written.append((step, scalars))
        )
        self.logger = SimpleNamespace(warning=self.warnings.append)


@pytest.mark.parametrize('stop', [False, True])
def test_the_alarm_waits_fires_once_and_can_stop(
    stop, model, monkeypatch, photo_images, seeds
):
    bad = WELL | {'std_ratio/global': 0.0}
    seen = iter([bad, WELL, bad, bad, bad, bad])
    monkeypatch.setattr(collapse, 'measure', lambda *args: dict(next(seen)))
    hook, runner = CollapseHook(interval=2, patience=2, stop=stop), Runner(model)
    batch = dict(inputs=photo_images[:4], seeds=seeds(4))

    def steps() -> None:
        for runner.iter in range(12):
            hook.before_train_iter(runner, 0, batch)
            hook.after_train_iter(runner, 0, batch)

    if stop:
        with pytest.raises(CollapseError, match=r'COLLAPSE: .*\(step 8, 2 measurements'):
            steps()
        return
    steps()
    assert [step for step, _ in runner.written] == [2, 4, 6, 8, 10, 12]
    assert runner.written[0][1]['collapse/std_ratio/global'] == 0.0
    assert runner.written[0][1]['epoch'] == 1
    (text,) = runner.warnings
    assert 'step 8, 2 measurements in a row, 2 steps apart' in text


def test_an_interval_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r'interval=0, .* set default_hooks.collapse=None'):
        CollapseHook(interval=0)


def test_a_model_with_one_view_is_passed_over(model, photo_images, seeds):
    """A classifier, or a masked autoencoder."""
    hook, runner = CollapseHook(interval=1), Runner(model)
    runner.logger.info = runner.warnings.append
    del model.data_preprocessor
    for inputs in (torch.ones(4, 3, 16, 16), [torch.ones(4, 3, 16, 16)]):
        model.data_preprocessor = lambda batch, training, x=inputs: dict(inputs=x)
        hook.before_train_iter(runner, 0, {})
        hook.after_train_iter(runner, 0, {})
    assert runner.written == []
    assert len(runner.warnings) == 1
