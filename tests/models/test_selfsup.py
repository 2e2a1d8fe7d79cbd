"""Claims about whole algorithms, the same for each of them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    ALGORITHMS,
    PAIR,
    VIEWS,
    build,
    byol,
    byol_logo,
    cgh,
    lewel_b,
    lewel_m,
    logo_head,
    moco,
    moco_logo,
    simsiam_logo,
    tick,
    vicreg_logo,
)
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from mmlogo.config import configs_folder, load_config
from mmlogo.models import selfsup
from mmlogo.models.heads import aligned_heads, contrast_head, pull, relation_head
from mmlogo.models.losses import info_nce
from mmlogo.models.parts.norms import SplitBatchNorm2d
from mmlogo.views import Seeds

N = 8


@pytest.fixture
def batch(photo_images, seeds):
    return dict(inputs=photo_images[:N], seeds=seeds(N))


def losses(model, batch) -> dict:
    return model(**model.data_preprocessor(batch, True), mode='loss')


@pytest.mark.parametrize('name', ALGORITHMS)
class TestEvery:
    def test_every_parameter_gets_a_gradient_and_no_target_does(self, name, batch):
        model = build(ALGORITHMS[name]())
        total, _ = model.parse_losses(losses(model, batch))
        total.backward()
        for parameter_name, p in model.named_parameters():
            if parameter_name.startswith(('teacher.', 'target_net.')):
                assert p.grad is None
            else:
                assert p.grad is not None, parameter_name
                assert p.grad.abs().sum() > 0 or 'bias' in parameter_name, parameter_name

    def test_steps_lower_the_loss(self, name, photo_images, seeds):
        """Twenty steps on one batch, with one set of negatives."""
        model = build(ALGORITHMS[name]())
        queued = {
            k: v.clone() for k, v in model.state_dict().items() if k.startswith('queue')
        }
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        wrapper = OptimWrapper(optimizer)
        data = dict(inputs=photo_images, seeds=seeds(len(photo_images)))
        log = []
        for _ in range(20):
            log.append(model.train_step(data, wrapper)['loss'].item())
            tick(model, iterations=0)  # a ramp would change the loss
            # or the batch's own keys, enqueued before, would be its negatives
            model.load_state_dict(queued, strict=False)
        assert sum(log[-3:]) / 3 < log[0] - 0.1

    def test_extracts_features(self, name, photo_images):
        model = build(ALGORITHMS[name]()).eval()
        inputs = model.data_preprocessor(dict(inputs=photo_images), False)['inputs']
        feats = model(inputs, mode='tensor')
        assert feats[-1].shape == (len(photo_images), 32, 4, 4)

    def test_is_a_function_of_the_keys(self, name, batch, seeds):
        """Nothing draws from the global random state in a step."""
        model = build(ALGORITHMS[name]())
        state = {k: v.clone() for k, v in model.state_dict().items()}
        results = []
        for seed in (1, 2):
            model.load_state_dict(state)
            torch.manual_seed(seed)
            results.append(model.parse_losses(losses(model, batch))[0])
        assert torch.equal(*results)
        model.load_state_dict(state)
        other = losses(model, dict(batch, seeds=seeds(N, epoch=1)))
        assert not torch.equal(model.parse_losses(other)[0], results[0])

    def test_next_step_after_a_checkpoint_is_the_same(self, name, batch, seeds):
        """Save -> load -> step is bit-equal: teacher, queue, pointer, statistics."""
        model, other = build(ALGORITHMS[name]()), None
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        for epoch in range(3):
            model.train_step(dict(batch, seeds=seeds(N, epoch=epoch)), wrapper)
            tick(model)
        other = build(ALGORITHMS[name]())
        other.load_state_dict(model.state_dict())
        for _ in range(3):
            tick(other)
        after = dict(batch, seeds=seeds(N, epoch=9))
        wrappers = [wrapper, OptimWrapper(torch.optim.SGD(other.parameters(), lr=0.1))]
        for one, w in zip((model, other), wrappers, strict=True):
            one.train_step(after, w)
        for (key, a), b in zip(
            model.state_dict().items(), other.state_dict().values(), strict=True
        ):
            assert torch.equal(a, b), key

    def test_eats_mmpretrains_batches(self, name, batch):
        """Views and data samples of mmpretrain's own MultiView pipelines."""
        model = build(ALGORITHMS[name]())
        views = model.data_preprocessor(batch, True)['inputs']
        samples = [DataSample() for _ in range(N)]
        total, _ = model.parse_losses(model(views, samples, mode='loss'))
        assert torch.isfinite(total)


def test_byol_logo_is_byol_without_locals(batch):
    """A quarter of mmpretrain's BYOL, which sums 2 cos over both directions."""
    ours = build(byol_logo(PAIR, head=logo_head(affinity=None)))
    theirs = build(byol())
    state = {
        k.replace('head.pull.predictor', 'head.predictor'): v
        for k, v in ours.state_dict().items()
        if not k.startswith('teacher.')
    }
    theirs.load_state_dict(state, strict=False)
    for online, target in ((theirs.backbone, 0), (theirs.neck, 1)):
        theirs.target_net.module[target].load_state_dict(online.state_dict())
    a, b = (sum(losses(model, batch).values()) for model in (ours, theirs))
    torch.testing.assert_close(4 * a, b)


def test_byol_logo_pulls_views_to_the_teachers_embeddings(batch):
    """The step by hand, in evaluation mode: gg to the other's target, lg to both."""
    model = build(byol_logo(head=logo_head(affinity=None)))
    losses(model, batch)  # the teacher has its weights now
    with torch.no_grad():  # another teacher, or nobody would see who is the target
        for weight in model.teacher.parameters():
            weight.mul_(1 + 0.3 * torch.randn_like(weight))
    model.eval()
    data = model.data_preprocessor(batch, True)
    p = [model.head.prepare(model.embed(x)) for x in data['inputs']]
    t = [model.teacher(x)[0] for x in data['inputs'][:2]]
    got = model.loss(**data)

    def l_s(a, b):
        return -F.cosine_similarity(p[a], t[b], dim=1).mean()

    crossed, straight = l_s(0, 1) + l_s(1, 0), l_s(0, 0) + l_s(1, 1)
    assert not torch.isclose(crossed, straight, rtol=1e-3)
    torch.testing.assert_close(got['loss_gg'], crossed / 6)
    torch.testing.assert_close(
        got['loss_lg'], sum(l_s(a, b) for a in (2, 3) for b in (0, 1)) / 6
    )


class TestSimSiamLoGo:
    def test_is_simsiam_without_locals(self, batch):
        """Two globals, symmetric, mean: mmpretrain's SimSiam to the last bit."""
        views = dict(global_views=VIEWS['global_views'])
        ours = build(simsiam_logo(views, head=logo_head(affinity=None)))
        theirs = build(ALGORITHMS['SimSiam'](views))
        state = {
            k.replace('head.pull.predictor', 'head.predictor'): v
            for k, v in ours.state_dict().items()
        }
        theirs.load_state_dict(state)
        a, b = (sum(losses(model, batch).values()) for model in (ours, theirs))
        torch.testing.assert_close(a, b)

    def test_stop_gradient_is_in_place(self, batch, monkeypatch):
        """With the detach taken out of the pull, the encoder's gradient changes."""
        views = dict(global_views=VIEWS['global_views'])

        def gradient():
            model = build(simsiam_logo(views, head=logo_head(affinity=None)))
            sum(losses(model, batch).values()).backward()
            return model.neck.fc0.weight.grad

        held = gradient()
        from mmlogo.models.heads.pull import CosinePull

        monkeypatch.setattr(
            CosinePull,
            'forward',
            lambda self, p, t: -F.cosine_similarity(p, t, dim=1).mean(),
        )
        assert not torch.allclose(held, gradient(), rtol=1e-2)

    @pytest.mark.parametrize('make', [simsiam_logo, moco_logo, byol_logo, vicreg_logo])
    def test_globals_are_seen_last(self, make, batch):
        """Running statistics lean to the last forward: locals come before."""
        model = build(make())
        sizes = []
        model.backbone.register_forward_pre_hook(lambda _, x: sizes.append(x[0].shape[-1]))
        losses(model, batch)
        assert sizes == [8, 8, 16, 16]

    @pytest.mark.parametrize('make', [simsiam_logo, moco_logo, byol_logo, vicreg_logo])
    def test_statistics_can_ignore_locals(self, make, batch):
        follow, ignore = (build(make(local_statistics=flag)) for flag in (True, False))
        views = dict(global_views=VIEWS['global_views'])
        head = make()['head'] | dict(affinity=None)
        alone = build(make(views, head=head))
        alone.load_state_dict(follow.state_dict(), strict=False)
        for model in (follow, ignore, alone):
            losses(model, batch)
        assert ignore.backbone.bn1.momentum == 0.1
        torch.testing.assert_close(
            ignore.backbone.bn1.running_mean, alone.backbone.bn1.running_mean
        )
        assert not torch.allclose(
            follow.backbone.bn1.running_mean, alone.backbone.bn1.running_mean
        )

    @pytest.mark.parametrize('counts', [(1, 2), (2, 1), (0, 2)])
    def test_refuses_too_few_views(self, counts):
        views = {
            k: dict(v, count=c) for (k, v), c in zip(VIEWS.items(), counts, strict=True)
        }
        with pytest.raises(ValueError, match=r'views? per image'):
            build(simsiam_logo(views))

    def test_asks_for_the_number_of_globals(self):
        cfg = simsiam_logo(data_preprocessor=dict(type='SelfSupDataPreprocessor'))
        with pytest.raises(ValueError, match=r'set `model\.num_globals`'):
            build(cfg)
        assert build(cfg | dict(num_globals=2)).num_globals == 2


CONTRASTIVE = [moco, moco_logo, lewel_m, cgh]


class TestMoCo:
    @pytest.mark.parametrize('make', CONTRASTIVE)
    def test_negatives_hold_no_key_of_the_batch(self, make, batch, monkeypatch):
        model = build(make())
        seen = []
        to_all = pull.InfoNCEPull.to_all

        def hear(self, q, targets, negatives):
            seen.extend((k, negatives) for k in targets)
            return to_all(self, q, targets, negatives)

        monkeypatch.setattr(pull.InfoNCEPull, 'to_all', hear)
        for head in (contrast_head, aligned_heads, relation_head):
            monkeypatch.setattr(
                head,
                'info_nce',
                lambda q, k, negatives, tau: (
                    seen.append((k, negatives)) or info_nce(q, k, negatives, tau)
                ),
            )
        losses(model, batch)
        assert seen
        for k, negatives in seen:
            assert (negatives @ k.T).max() < 1 - 1e-4
        queues = model.queues if hasattr(model, 'queues') else model.queue
        queued = queues.negatives()
        queued = queued[0] if isinstance(queued, tuple) else queued
        assert (queued @ seen[0][0].T).amax(0).min() > 1 - 1e-5  # and now they are in

    def test_asymmetric_enqueues_one_key_set_and_symmetric_two(self, batch):
        for symmetric, count in ((False, N), (True, 2 * N)):
            model = build(moco(symmetric=symmetric))
            losses(model, batch)
            assert model.queue.pointer == count

    def test_symmetric_is_the_sum_of_both_directions(self, batch):
        def run(cfg, inputs=None):
            model = build(cfg)
            data = model.data_preprocessor(batch, True)
            views = data['inputs'][:2] if inputs is None else inputs(data['inputs'])
            torch.manual_seed(0)
            return model.eval(), views, data['data_samples']

        model, views, seeds = run(moco(symmetric=True))
        both = model.loss(views, seeds)['loss']
        model, _, _ = run(moco())
        one = model.loss(views, seeds)['loss']
        model, _, _ = run(moco())
        other = model.loss(views[::-1], seeds)['loss']
        torch.testing.assert_close(both, one + other)

    def test_locals_never_enter_the_queue(self, batch):
        model = build(moco_logo())
        losses(model, batch)
        assert model.queue.pointer == 2 * N  # the globals' keys

    @pytest.mark.parametrize('make', CONTRASTIVE)
    def test_query_and_key_have_other_neighbours(self, make, batch):
        """Without the shuffle, split BN would give both views the same parts."""
        model = build(make())
        assert isinstance(model.teacher.backbone.bn1, SplitBatchNorm2d)
        seen = []
        model.teacher.backbone.register_forward_pre_hook(
            lambda _, x: seen.append(x[0].mean((1, 2, 3)))
        )
        losses(model, batch)
        views = model.data_preprocessor(batch, True)['inputs'][:2]
        in_order = [view.mean((1, 2, 3)) for view in (views[-len(seen) :])]
        for keys_of_view, view in zip(seen, in_order, strict=True):
            assert not torch.allclose(keys_of_view, view)
            torch.testing.assert_close(keys_of_view.sort().values, view.sort().values)

    @pytest.mark.parametrize('make', CONTRASTIVE)
    def test_teacher_is_moved_before_its_keys(self, make, batch):
        model = build(make(teacher=dict(momentum=0.5)))
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5))
        model.train_step(batch, wrapper)
        tick(model)
        start = model.teacher.backbone.conv1.weight.clone()
        student = model.backbone.conv1.weight.clone()
        used = []
        model.teacher.register_forward_pre_hook(
            lambda teacher, _: used.append(teacher.backbone.conv1.weight.clone())
        )
        model.train_step(batch, wrapper)
        assert used
        for weight in used:
            torch.testing.assert_close(weight, 0.5 * start + 0.5 * student)

    def test_queue_must_fit_the_keys_of_a_step(self, batch):
        with pytest.raises(
            ValueError, match='queue length 12 is not a multiple of the 8 keys'
        ):
            losses(build(moco(queue=dict(length=12, dim=8))), batch)


def test_head_without_affinity_still_pulls_locals(batch):
    model = build(simsiam_logo(head=logo_head(affinity=None)))
    assert set(losses(model, batch)) == {'loss_gg', 'loss_lg'}


@pytest.mark.parametrize('make', [lewel_m, cgh])
def test_the_first_view_is_the_query_and_the_second_the_key(make, batch):
    model = build(make())
    seen = dict(student=[], teacher=[])
    for name, backbone in (
        ('student', model.backbone),
        ('teacher', model.teacher.backbone),
    ):
        backbone.register_forward_pre_hook(
            lambda _, x, name=name: seen[name].append(x[0].mean((1, 2, 3)))
        )
    losses(model, batch)
    views = model.data_preprocessor(batch, True)['inputs']
    query, key, *small = (view.mean((1, 2, 3)) for view in views)
    assert len(seen['student']) == 1 + len(small)
    for got, expected in zip(seen['student'], [query, *small], strict=True):
        torch.testing.assert_close(got, expected)
    (shuffled_key,) = seen['teacher']
    torch.testing.assert_close(shuffled_key.sort().values, key.sort().values)


def test_moco_logo_pulls_views_to_the_keys_of_the_other_global(batch):
    """The step by hand, in evaluation mode: gg to the other's key, lg to both."""
    head = logo_head(dict(type='InfoNCEPull', temperature=0.1), affinity=None)
    model = build(moco_logo(head=head))
    losses(model, batch)  # the teacher has its weights now
    model.eval()
    data = model.data_preprocessor(batch, True)
    negatives = model.queue.negatives()
    with torch.no_grad():
        q = [F.normalize(model.embed(x), dim=1) for x in data['inputs']]
        k = [F.normalize(model.teacher(x)[0], dim=1) for x in data['inputs'][:2]]
        got = model.loss(**data)

    def nce(a, b):
        return info_nce(q[a], k[b], negatives, 0.1)

    crossed, straight = nce(0, 1) + nce(1, 0), nce(0, 0) + nce(1, 1)
    assert not torch.isclose(crossed, straight, rtol=1e-3)
    torch.testing.assert_close(got['loss_gg'], crossed / 6)
    torch.testing.assert_close(
        got['loss_lg'], sum(nce(a, b) for a in (2, 3) for b in (0, 1)) / 6
    )


@pytest.mark.parametrize('make', [partial(moco, symmetric=True), moco_logo])
def test_each_view_is_shuffled_in_its_own_order(make, batch):
    """Who shares a split with whom must not repeat from view to view."""
    model = build(make())
    with torch.no_grad():
        views = model.data_preprocessor(batch, True)['inputs']
        for view in views[:2]:
            view.copy_(torch.arange(float(N))[:, None, None, None])
    seen = []
    model.teacher.backbone.register_forward_pre_hook(
        lambda _, x: seen.append(x[0][:, 0, 0, 0].tolist())
    )
    model.loss(views, Seeds(batch['seeds']))
    assert len(seen) == 2
    assert sorted(seen[0]) == sorted(seen[1]) == list(range(N))
    assert seen[0] != seen[1]


def test_lewel_b_predicts_the_other_view(batch):
    """The step by hand: each view's prediction against the teacher of the other."""
    model = build(lewel_b())
    losses(model, batch)  # the teacher has its weights now
    data = model.data_preprocessor(batch, True)
    got = model.loss(**data)
    p1, p2 = (model.head.prepare(model.neck(model.backbone(x))) for x in data['inputs'])
    t1, t2 = (model.teacher(x) for x in data['inputs'])
    for name, value in got.items():
        crossed = model.head.loss(p1, t2)[name] + model.head.loss(p2, t1)[name]
        torch.testing.assert_close(value, crossed)
        straight = model.head.loss(p1, t1)[name] + model.head.loss(p2, t2)[name]
        assert not torch.isclose(value, straight, rtol=1e-3)


@pytest.mark.parametrize(
    ('make', 'count'),
    [(lewel_b, 1), (lewel_b, 3), (lewel_m, 1), (lewel_m, 3), (cgh, 1)],
)
def test_methods_of_two_views_say_so(make, count, batch):
    views = dict(global_views=dict(role='global', count=count, size=16, scale=(0.4, 1.0)))
    with pytest.raises(ValueError, match=f'the batch has {count} views per image'):
        losses(build(make(views)), batch)


@pytest.mark.parametrize('make', [moco, moco_logo, lewel_m, cgh])
def test_a_queue_of_another_width_is_named(make, batch):
    wide = dict(dims=(12, 12)) if make in (lewel_m, cgh) else dict(dim=12)
    with pytest.raises(ValueError, match='keys of length 12 and the neck gives 8; set que'):
        losses(build(make(queue=dict(length=64) | wide)), batch)


def test_no_algorithm_is_forgotten():
    """Each has its claims here, a configuration, and a row in the README."""
    root = configs_folder().parent
    readme = (root / 'README.md').read_text()
    configured = {
        load_config(str(path)).model.type for path in configs_folder().glob('*.py')
    }
    for name in selfsup.__all__:
        assert name in ALGORITHMS
        assert name in configured
        assert f'`{name}`' in readme
