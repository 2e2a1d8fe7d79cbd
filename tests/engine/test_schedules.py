"""Learning rates and momenta of the published runs, from the shipped configs."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import LinearLR, build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmlogo import launch
from mmlogo.config import configs_folder, load_config
from mmlogo.engine.hooks.start_report import refuse_short_warm_ups
from mmlogo.engine.schedule import WarmUpLR
from mmlogo.models.parts.clock import Clock
from mmlogo.models.parts.teacher import Teacher
from mmlogo.registry import MODELS, PARAM_SCHEDULERS

EPOCH = 1251  # steps, of 1,281,167 images in batches of 1,024


def rates(name: str, steps_per_epoch: int, held: list[int]) -> dict[int, list[float]]:
    """Learning rates of every step of the epochs asked for, as the Runner steps them."""
    cfg = load_config(str(configs_folder() / name))
    init_default_scope('mmlogo')
    wrapper = build_optim_wrapper(nn.Linear(2, 2), cfg.optim_wrapper)
    schedules = [
        PARAM_SCHEDULERS.build(
            dict(schedule, end=schedule.get('end', cfg.train_cfg.max_epochs)),
            default_args=dict(optimizer=wrapper, epoch_length=steps_per_epoch),
        )
        for schedule in cfg.param_scheduler
    ]
    wrapper.optimizer.step()
    found: dict[int, list[float]] = {}
    for epoch in range(cfg.train_cfg.max_epochs):
        for _ in range(steps_per_epoch):
            if epoch in held:
                found.setdefault(epoch, []).append(wrapper.get_lr()['lr'][0])
            for schedule in schedules:
                if not schedule.by_epoch:
                    schedule.step()
        for schedule in schedules:
            if schedule.by_epoch:
                schedule.step()
    return found


def test_lewel_b_has_the_published_rates():
    """The log of the authors' 100-epoch run."""
    got = rates('lewel_b_eman_r50_in1k_100e.py', EPOCH, [0, 9, 11, 50, 99])
    warm_up = 10 * EPOCH
    assert got[0] == pytest.approx([3.6 * (k + 1) / warm_up for k in range(EPOCH)])
    assert got[9][-1] == pytest.approx(3.6)
    for epoch, published in ((11, 3.5989), (50, 2.11257), (99, 0.0010965)):
        assert set(got[epoch]) == {got[epoch][0]}  # the cosine steps per epoch
        assert got[epoch][0] == pytest.approx(published, abs=1e-5)


def test_cgh_warms_up_from_zero_and_steps_per_iteration():
    steps = 7
    got = rates('cgh_r50_in1k.py', steps, list(range(200)))
    values = [value for epoch in range(200) for value in got[epoch]]
    warm_up = 5 * steps
    for k in range(warm_up):
        assert values[k] == pytest.approx(0.05 * k / (warm_up - 1), abs=1e-6)
    length = 195 * steps
    for k in range(length):
        expected = 0.025 * (1 + math.cos(math.pi * k / length))
        assert values[warm_up + k] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ('epoch', 'published'), [(0, '0.98'), (50, '0.9903'), (99, '0.999999999')]
)
def test_lewel_b_has_the_published_momenta(epoch, published):
    """At the last iteration of an epoch, to the printed digits."""
    student = nn.Linear(1, 1)
    teacher = Teacher(backbone=student, neck=student, momentum=0.98, schedule='cosine')
    teacher.clock = Clock(updates=100 * EPOCH, steps_per_epoch=EPOCH)
    momentum = teacher.momentum((epoch + 1) * EPOCH - 1)
    digits = len(published) - 2
    printed = math.floor(momentum * 10**digits) / 10**digits
    rounded = round(momentum, digits)
    assert float(published) in (printed, rounded)


def test_a_momentum_ends_at_one_and_stays():
    student = nn.Linear(1, 1)
    teacher = Teacher(backbone=student, neck=student, momentum=0.98, schedule='cosine')
    teacher.clock = Clock(updates=100, steps_per_epoch=10)
    assert teacher.momentum(0) == pytest.approx(0.98)
    assert teacher.momentum(100) == 1.0
    assert teacher.momentum(150) == 1.0


def test_a_warm_up_has_steps():
    with pytest.raises(ValueError, match='a warm-up from 0 to 0 has no step'):
        WarmUpLR(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0), end=0)


@pytest.mark.parametrize(
    ('steps', 'expected'),
    [(2, [0.01, 1, 1]), (5, [0.01, 0.258, 0.505, 0.752, 1, 1])],
)
def test_a_warm_up_of_one_epoch_is_one_of_its_steps(steps, expected):
    cfg = Config(
        dict(
            param_scheduler=dict(
                type='LinearLR', start_factor=0.01, end=1, convert_to_iter_based=True
            ),
            train_cfg=dict(max_epochs=3),
        )
    )
    launch.check_schedules(cfg)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = LinearLR.build_iter_from_epoch(
        optimizer=optimizer, start_factor=0.01, end=1, by_epoch=True, epoch_length=steps
    )
    refuse_short_warm_ups(SimpleNamespace(param_schedulers=[schedule]))
    got = []
    for _ in expected:
        got.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        schedule.step()
    assert got == pytest.approx(expected, abs=0.001)


def test_a_warm_up_of_one_step_is_refused():
    """MMEngine never leaves its first rate."""
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    schedule = LinearLR.build_iter_from_epoch(
        optimizer=optimizer, start_factor=0.01, end=1, by_epoch=True, epoch_length=1
    )
    with pytest.raises(ValueError, match=r'LinearLR lasts one step, .* 0\.01 of the full'):
        refuse_short_warm_ups(SimpleNamespace(param_schedulers=[schedule]))
    warm_up = WarmUpLR(optimizer, end=1)  # begins at the full rate
    refuse_short_warm_ups(SimpleNamespace(param_schedulers=[warm_up]))


def test_a_schedule_needs_the_length():
    student = nn.Linear(1, 1)
    teacher = Teacher(backbone=student, neck=student, momentum=0.98, schedule='cosine')
    with pytest.raises(ValueError, match='Teacher has no clock'):
        teacher.momentum(0)


class TestLARS:
    def wrapper(self, model: nn.Module):
        cfg = load_config(str(configs_folder() / 'lewel_b_eman_r50_in1k.py'))
        init_default_scope('mmlogo')
        return build_optim_wrapper(model, cfg.optim_wrapper)

    def step(self, model: nn.Module, loss) -> None:
        wrapper = self.wrapper(model)
        for _ in range(2):
            wrapper.update_params(loss())

    def test_a_zero_parameter_is_not_frozen(self):
        """Trust would be zero for ever: |w| / |g| of a weight that is zero."""
        model = nn.Conv2d(2, 2, 1, bias=False)
        nn.init.zeros_(model.weight)
        x = torch.randn(4, 2, 3, 3)
        self.step(model, lambda: (model(x) - 1).square().mean())
        assert model.weight.abs().sum() > 0

    def test_is_the_published_rule(self):
        """lr and trust inside the momentum buffer; weight decay in the trust."""
        model = nn.Linear(3, 2, bias=False)
        w = model.weight.detach().double().clone()
        x = torch.randn(5, 3)
        buffer = torch.zeros_like(w)
        for _ in range(2):
            leaf = w.clone().requires_grad_()
            (gradient,) = torch.autograd.grad((x.double() @ leaf.T).square().mean(), leaf)
            trust = 0.001 * w.norm() / (gradient.norm() + 1.5e-6 * w.norm())
            buffer = 0.9 * buffer + 3.6 * trust * (gradient + 1.5e-6 * w)
            w = w - buffer
        self.step(model, lambda: model(x).square().mean())
        torch.testing.assert_close(model.weight.detach().double(), w, rtol=1e-5, atol=1e-7)

    def test_norms_and_biases_are_left_out_by_what_they_are(self):
        """A norm layer called `scale` is one; a convolution called `bn` is none."""
        model = nn.Module()
        model.scale, model.bn = nn.BatchNorm1d(3), nn.Linear(3, 3)
        model.ln = nn.LayerNorm(3)
        groups = self.wrapper(model).optimizer.param_groups
        options = {
            p: (group['weight_decay'], group.get('lars_exclude', False))
            for group in groups
            for p in group['params']
        }
        left_out = {p for p, option in options.items() if option == (0.0, True)}
        assert left_out == {
            *model.scale.parameters(),
            model.bn.bias,
            *model.ln.parameters(),
        }
        assert options[model.bn.weight] == (1.5e-6, False)

    def test_a_custom_key_changes_only_what_it_names(self):
        """MMEngine writes the base weight decay into every custom key's group."""
        model = nn.Module()
        model.neck, model.other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
        cfg = load_config(str(configs_folder() / 'lewel_b_eman_r50_in1k.py'))
        init_default_scope('mmlogo')

        def options(key: dict) -> list[dict]:
            cfg.optim_wrapper.paramwise_cfg.custom_keys = dict(neck=key)
            groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
            return [g for g in groups if model.neck.weight in set(g['params'])]

        (group,) = options(dict(lr_mult=0.5))
        assert (group['weight_decay'], group['lars_exclude']) == (0.0, True)
        assert group['lr'] == pytest.approx(1.8)
        # decayed at the base's rate all the same, or adapted by LARS, or both
        base = cfg.optim_wrapper.optimizer.weight_decay
        for said, want in (
            (dict(weight_decay=base), (base, True)),
            (dict(decay_mult=1.0), (base, True)),
            (dict(weight_decay=base, lars_exclude=False), (base, False)),
        ):
            (group,) = options(said)
            assert (group['weight_decay'], group['lars_exclude']) == want, said

    def test_the_release_of_lewel_treats_four_gains_as_weights(self):
        name = 'lewel_b_syncbn_r50_in1k_400e'
        init_default_scope('mmlogo')
        model = MODELS.build(load_config(str(configs_folder() / f'{name}.py')).model)
        treated = {}
        for suffix in ('', '_released'):
            cfg = load_config(str(configs_folder() / f'{name}{suffix}.py'))
            wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
            options = {
                p: (group['weight_decay'], group.get('lars_exclude', False))
                for group in wrapper.optimizer.param_groups
                for p in group['params']
            }
            treated[suffix] = {
                name: options[p] for name, p in model.named_parameters() if p in options
            }
        ours, released = treated[''], treated['_released']
        changed = {name for name in ours if ours[name] != released[name]}
        assert changed == {
            f'{part}.layers.1.weight'
            for part in (
                'neck.projector',
                'neck.aligned_projector',
                'head.predictor',
                'head.aligned_predictor',
            )
        }
        assert {ours[name] for name in changed} == {(0.0, True)}
        assert {released[name] for name in changed} == {(1e-6, False)}
