"""LoGo's objective and the two pulls: numbers, stop-gradients, forms."""

from __future__ import annotations

import math

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import DIM, logo_head, predictor

from mmlogo.models import losses
from mmlogo.models.heads.logo_head import gradient_norms
from mmlogo.models.heads.pull import InfoNCEPull, VICRegPull

N = 6


def build(**changes):
    return helpers.build(logo_head(**changes))


def contrastive(**changes):
    return build(pull=dict(type='InfoNCEPull', temperature=0.1), **changes)


@pytest.fixture
def z():
    """Two globals and two locals, (N, DIM), leaves that take a gradient."""
    return [torch.randn(N, DIM, requires_grad=True) for _ in range(4)]


class TestCosinePull:
    def test_minus_one_when_aligned(self):
        pull, target = build().pull, torch.randn(N, DIM)
        assert pull(2 * target, target).item() == pytest.approx(-1)
        assert pull(-target, target).item() == pytest.approx(1)

    def test_stops_the_targets_gradient(self):
        p, target = (torch.randn(N, DIM, requires_grad=True) for _ in range(2))
        build().pull(p, target).backward()
        assert p.grad.abs().sum() > 0
        assert target.grad is None

    def test_the_mean_of_targets_takes_the_place_of_each(self):
        """FastSiam: one target, the mean; the weights of a sum stay those of the pairs."""
        head = build(pull=dict(type='CosinePull', predictor=predictor(), target='mean'))
        p, one, other = (torch.randn(N, DIM) for _ in range(3))
        want = -F.cosine_similarity(p, (one + other) / 2, dim=1).mean()
        torch.testing.assert_close(head.pull.to_all(p, [one, other]), [want, want])
        each = build().pull.to_all(p, [one, other])
        assert not torch.isclose(sum(each), 2 * want, rtol=1e-2)

    def test_a_target_is_each_or_the_mean(self):
        with pytest.raises(
            ValueError, match=r"pull.target='median', but it must be one of"
        ):
            build(pull=dict(type='CosinePull', predictor=predictor(), target='median'))


def vicreg_by_loops(x, y):
    """VICReg's loss of two float64 arrays (N, D), entry by entry."""
    n, d = x.shape
    squares = sum((x[i, j] - y[i, j]) ** 2 for i in range(n) for j in range(d))
    total = 25 * squares / (n * d)
    for z in (x, y):
        mean = [sum(z[i, j] for i in range(n)) / n for j in range(d)]
        for j in range(d):
            for k in range(d):
                c = sum((z[i, j] - mean[j]) * (z[i, k] - mean[k]) for i in range(n)) / (
                    n - 1
                )
                if j != k:
                    total += c**2 / d
                else:
                    total += 25 * torch.relu(1 - torch.sqrt(c + 1e-4)) / d
    return total


class TestVICReg:
    @pytest.mark.parametrize('n', [N, 2 * DIM])  # fewer images than components, and more
    def test_both_orders_have_the_papers_value_and_gradient(self, n):
        """The value has s twice, because each order holds its target."""
        x, y = (torch.randn(n, DIM, dtype=torch.float64) * 0.6 for _ in range(2))
        x.requires_grad_()
        y.requires_grad_()
        want = vicreg_by_loops(x, y)
        pull = VICRegPull()
        got = pull(x, y) + pull(y, x)
        torch.testing.assert_close(got, want + 25 * F.mse_loss(x, y))
        for g, w in zip(
            torch.autograd.grad(got, (x, y)), torch.autograd.grad(want, (x, y)), strict=True
        ):
            torch.testing.assert_close(g, w)

    def test_the_spread_is_in_every_pair_of_a_view(self):
        z, one, other = (torch.randn(N, DIM) for _ in range(3))
        pull = VICRegPull(invariance=3.0, variance=5.0, covariance=7.0)
        torch.testing.assert_close(
            pull.to_all(z, [one, other]), [pull(z, one), pull(z, other)]
        )
        alone = 5 * losses.variance_hinge(z) + 7 * losses.covariance_penalty(z)
        torch.testing.assert_close(pull(z, one), 3 * F.mse_loss(z, one) + alone)

    def test_a_spread_batch_loses_nothing_and_a_point_loses_the_variance(self):
        spread = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # covariance 0
        assert VICRegPull()(spread, spread).item() == pytest.approx(0)
        point = torch.ones(4, 2)
        assert VICRegPull()(point, point).item() == pytest.approx(25 * (1 - 0.01))

    def test_one_image_has_no_spread(self):
        with pytest.raises(ValueError, match='the global batch holds one; raise the batch'):
            VICRegPull()(torch.randn(1, DIM), torch.randn(1, DIM))

    def test_logs_of_autocast_are_float32(self):
        z, target = torch.randn(N, DIM), torch.randn(N, DIM)
        pull = VICRegPull()
        with torch.autocast('cpu', torch.bfloat16):
            got = pull(pull.prepare(z), target)
        assert torch.equal(got, pull(z, target))


class TestInfoNCE:
    def test_log_of_one_plus_k_when_all_are_alike(self):
        one = torch.ones(1, DIM) / math.sqrt(DIM)
        got = InfoNCEPull(temperature=0.1)(one, one, one.expand(15, DIM))
        assert got.item() == pytest.approx(math.log(1 + 15), rel=1e-6)

    def test_in_numpy(self):
        q, k, n = (F.normalize(torch.randn(rows, DIM), dim=1) for rows in (N, N, 20))
        a, b, c = (v.numpy().astype(np.float64) for v in (q, k, n))
        want = 0.0
        for i in range(N):
            positive = np.exp(a[i] @ b[i] / 0.2)
            negatives = sum(np.exp(a[i] @ row / 0.2) for row in c)
            want -= np.log(positive / (positive + negatives)) / N
        assert InfoNCEPull(temperature=0.2)(q, k, n).item() == pytest.approx(want, rel=1e-5)

    @pytest.mark.parametrize('temperature', [0.07, 0.2, 1e-3])
    def test_to_all_is_one_after_another(self, temperature):
        """Also with logits of a thousand, of which no exponential exists."""
        q, k, other, n = (
            F.normalize(torch.randn(rows, DIM), dim=1) for rows in (N, N, N, 20)
        )
        q.requires_grad_()
        pull = InfoNCEPull(temperature=temperature)
        one_by_one = torch.stack([pull(q, t, n) for t in (k, other)])
        (want,) = torch.autograd.grad(one_by_one.sum(), q)
        at_once = torch.stack(pull.to_all(q, (k, other), n))
        (got,) = torch.autograd.grad(at_once.sum(), q)
        torch.testing.assert_close(at_once, one_by_one, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4 / temperature)

    def test_a_query_meets_the_negatives_once(self, monkeypatch):
        q, k, n = (F.normalize(torch.randn(N, DIM), dim=1) for _ in range(3))
        calls = []
        plain = losses.similarity
        monkeypatch.setattr(losses, 'similarity', lambda *x: calls.append(1) or plain(*x))
        InfoNCEPull(temperature=0.1).to_all(q, (k, k, k), n)
        assert len(calls) == 1

    def test_only_the_query_takes_a_gradient(self):
        q, k, n = (torch.randn(N, DIM, requires_grad=True) for _ in range(3))
        InfoNCEPull(temperature=0.1)(q, k, n).backward()
        assert q.grad.abs().sum() > 0
        assert k.grad is None
        assert n.grad is None

    def test_logits_stay_float32_under_autocast(self):
        q, k, n = (F.normalize(torch.randn(N, DIM), dim=1) for _ in range(3))
        pull = InfoNCEPull(temperature=0.1)
        with torch.autocast('cpu', torch.bfloat16):
            got = pull(q, k, n)
        assert torch.equal(got, pull(q, k, n))


def terms(head, z, seeds, **state):
    return head.loss(z[:2], z[2:], [v.detach() for v in z[:2]], seeds(N), **state)


class TestLoGoHead:
    def test_in_numpy(self, z, seeds):
        """Mean of two gg and four lg cosines, predictor included."""
        head = build()
        p = [head.prepare(v).detach().numpy().astype(np.float64) for v in z]
        t = [v.detach().numpy().astype(np.float64) for v in z]

        def l_s(a, b):
            a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
            return -(a * b).sum(1).mean()

        out = terms(head, z, seeds)
        gg = l_s(p[0], t[1]) + l_s(p[1], t[0])
        lg = sum(l_s(p[i], t[g]) for i in (2, 3) for g in (0, 1))
        assert out['loss_gg'].item() == pytest.approx(gg / 6, abs=1e-6)
        assert out['loss_lg'].item() == pytest.approx(lg / 6, abs=1e-6)
        assert out['loss_ll'].item() == pytest.approx(0.5 * out['push'].item())

    def test_sum_is_the_papers_form(self, z, seeds):
        torch.manual_seed(1)
        mean = build()
        torch.manual_seed(1)
        total = build(reduction='sum')
        a, b = terms(mean, z, seeds), terms(total, z, seeds)
        assert b['loss_gg'].item() == pytest.approx(3 * a['loss_gg'].item(), rel=1e-5)
        assert b['loss_lg'].item() == pytest.approx(6 * a['loss_lg'].item(), rel=1e-5)

    def test_one_sided_pulls_the_first_to_the_second(self, z, seeds):
        head = contrastive(gg_pairs='one_sided', affinity=None)
        terms(head, z, seeds, negatives=torch.randn(4, DIM))['loss_gg'].backward()
        assert z[0].grad.abs().sum() > 0
        assert z[1].grad is None

    def test_l_lg_moves_locals_alone(self, z, seeds):
        """Equation 4: the targets are held, though they are the globals themselves."""
        head = build(affinity=None)
        head.loss(z[:2], z[2:], z[:2], seeds(N))['loss_lg'].backward()
        assert all(v.grad is None for v in z[:2])
        assert all(v.grad.abs().sum() > 0 for v in z[2:])

    def test_gg_targets_are_held(self, z, seeds):
        """Without the stop-gradient view 2 would feel being a target."""
        head = build(affinity=None, gg_pairs='one_sided')
        head.loss(z[:2], z[2:], z[:2], seeds(N))['loss_gg'].backward()
        assert z[1].grad is None

    def test_l_ll_and_omega_share_no_gradient(self, z, seeds):
        head = build()
        out = terms(head, z, seeds)
        omega = torch.autograd.grad(
            out['loss_affinity'], z, retain_graph=True, allow_unused=True
        )
        assert omega == (None,) * 4
        parameters = list(head.affinity.parameters())
        push = torch.autograd.grad(
            out['loss_ll'], parameters, retain_graph=True, allow_unused=True
        )
        assert push == (None,) * len(parameters)
        moved = torch.autograd.grad(out['loss_ll'], z, allow_unused=True)
        assert moved[0] is None
        assert moved[2].abs().sum() > 0

    def test_the_affinity_sees_directions_alone(self, z, seeds):
        """Unit vectors: how long an embedding is must tell the regressor nothing."""
        head = build()
        longer = [*z[:2], *(3 * v for v in z[2:])]
        one, other = terms(head, z, seeds), terms(head, longer, seeds)
        torch.testing.assert_close(one['loss_affinity'], other['loss_affinity'])
        assert one['cos_ll'].item() == pytest.approx(other['cos_ll'].item())
        seen = []
        head.affinity.f.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        head.affinity.noise = 0.0
        terms(head, z, seeds)
        for pairs in seen:
            halves = torch.cat(pairs.chunk(2, dim=1))
            torch.testing.assert_close(halves.norm(dim=1), torch.ones(len(halves)))

    def test_push_ratio_weighs_gradients(self, z, seeds):
        head = build(push_ratio=0.015)
        out = terms(head, z, seeds)
        pull = torch.autograd.grad(out['loss_lg'], z[2:], retain_graph=True)
        push = torch.autograd.grad(out['loss_ll'], z[2:])
        norms = [torch.cat([g.flatten() for g in gs]).norm() for gs in (push, pull)]
        assert (norms[0] / norms[1]).item() == pytest.approx(0.015, rel=1e-4)
        assert out['push_ratio'].item() == pytest.approx(0.015, rel=1e-4)

    def test_logs_the_ratio_that_lambda_gives(self, z, seeds):
        out = terms(build(lambda_ll=0.3), z, seeds)
        pull = torch.autograd.grad(out['loss_lg'], z[2:], retain_graph=True)
        push = torch.autograd.grad(out['loss_ll'], z[2:])
        norms = [torch.cat([g.flatten() for g in gs]).norm() for gs in (push, pull)]
        assert out['push_ratio'].item() == pytest.approx(
            (norms[0] / norms[1]).item(), rel=1e-4
        )

    @pytest.mark.parametrize('pull', [None, dict(type='InfoNCEPull', temperature=0.1)])
    def test_locals_can_be_pulled_together(self, z, seeds, pull):
        """The arm that contradicts LoGo: each pair has the weight of an lg pair."""
        state = dict(negatives=torch.randn(4, DIM)) if pull else {}
        torch.manual_seed(1)
        apart = build(pull=pull, affinity=None)
        torch.manual_seed(1)
        together = build(pull=pull, affinity=None, pull_locals=True)
        a, b = (terms(head, z, seeds, **state) for head in (apart, together))
        assert set(b) == {'loss_gg', 'loss_lg', 'loss_ll'}
        assert (a['loss_gg'], a['loss_lg']) == (b['loss_gg'], b['loss_lg'])
        q = [together.prepare(v) for v in z[2:]]
        t = [together.pull.as_target(v) for v in z[2:]]
        want = together.pull(q[0], t[1], **state) + together.pull(q[1], t[0], **state)
        torch.testing.assert_close(b['loss_ll'], want / 6)
        b['loss_ll'].backward()
        assert z[0].grad is None
        assert z[2].grad.abs().sum() > 0

    def test_one_local_has_no_other_to_be_pulled_to(self, z, seeds):
        head = build(affinity=None, pull_locals=True)
        out = head.loss(z[:2], z[2:3], [v.detach() for v in z[:2]], seeds(N))
        assert set(out) == {'loss_gg', 'loss_lg'}

    def test_locals_are_not_pulled_together_and_pushed_apart(self):
        with pytest.raises(
            ValueError, match=r'pulls locals together and the affinity pushes'
        ):
            build(pull_locals=True)

    def test_plain_cosine_can_push(self, z, seeds):
        """The control of the learned affinity: no regressor, no loss of one."""
        head = build(affinity=dict(type='CosineAffinity'), lambda_ll=0.5)
        out = terms(head, z, seeds)
        assert list(head.affinity.parameters()) == []
        assert 'loss_affinity' not in out
        cosine = F.cosine_similarity(z[2], z[3], dim=1).mean()
        torch.testing.assert_close(out['loss_ll'], 0.5 * cosine)
        torch.testing.assert_close(out['cos_ll'], cosine.detach())
        learned = terms(build(), z, seeds)
        assert out['auc_cosine'] == learned['auc_cosine']
        out['loss_ll'].backward()
        assert z[2].grad.abs().sum() > 0

    def test_more_globals_and_locals(self, seeds):
        z = [torch.randn(N, DIM) for _ in range(6)]
        head = contrastive(affinity=None)
        negatives = torch.randn(4, DIM)
        out = head.loss(z[:3], z[3:], z[:3], seeds(N), negatives=negatives)
        q = [head.prepare(v) for v in z]
        gg = [
            head.pull(q[a], z[b], negatives) for a in range(3) for b in range(3) if a != b
        ]
        lg = [head.pull(q[a], z[b], negatives) for a in range(3, 6) for b in range(3)]
        assert out['loss_gg'].item() == pytest.approx(sum(gg).item() / 15, rel=1e-5)
        assert out['loss_lg'].item() == pytest.approx(sum(lg).item() / 15, rel=1e-5)

    def test_no_locals_leave_gg(self, z, seeds):
        out = build(affinity=None).loss(z[:2], [], z[:2], seeds(N))
        assert list(out) == ['loss_gg']

    def test_an_affinity_needs_locals(self, z, seeds):
        with pytest.raises(ValueError, match=r'set model\.head\.affinity=None'):
            build().loss(z[:2], [], z[:2], seeds(N))

    def test_diagnostics_are_not_summed(self, z, seeds):
        """MMEngine adds every key with `loss` in it."""
        assert [k for k in terms(build(), z, seeds) if 'loss' in k] == [
            'loss_gg',
            'loss_lg',
            'loss_ll',
            'loss_affinity',
        ]

    @pytest.mark.parametrize(
        ('changes', 'text'),
        [
            (dict(reduction='max'), "reduction='max', but it must be"),
            (dict(gg_pairs='both'), "gg_pairs='both', but it must be"),
        ],
    )
    def test_bad_choices(self, changes, text):
        with pytest.raises(ValueError, match=text):
            build(**changes)


def test_gradient_norms_leave_no_gradient_behind(z):
    weight = torch.randn(DIM, DIM, requires_grad=True)
    outputs = [v @ weight for v in z[:2]]
    one, other = (v.sum() for v in outputs)
    first, second = gradient_norms([one + 0 * other, 2 * one + other], outputs)
    assert first.item() == pytest.approx(math.sqrt(N * DIM))
    assert second.item() == pytest.approx(math.sqrt(5 * N * DIM))
    assert weight.grad is None
