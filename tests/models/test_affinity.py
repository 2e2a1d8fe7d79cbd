"""The learned affinity: its two games, its negatives, its numbers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmlogo.models.parts.affinity import Affinity, auc
from mmlogo.models.parts.regressor import NORMS

DIM, N = 6, 8


@pytest.fixture
def z():
    return [F.normalize(torch.randn(N, DIM), dim=1) for _ in range(2)]


def build(**changes) -> Affinity:
    # plain BatchNorm: without a process group torch's SyncBatchNorm refuses a CPU
    return Affinity(dim=DIM, hid_channels=(8, 8), norm_cfg=dict(type='BN1d'), **changes)


class TestGames:
    def test_omega_trains_the_regressor_alone(self, z, seeds):
        f = build()
        z = [v.requires_grad_() for v in z]
        f.loss(z, seeds(N))['loss_affinity'].backward()
        assert all(v.grad is None for v in z)
        assert all(
            p.grad is not None and p.grad.abs().sum() > 0 for p in f.f[-1].parameters()
        )

    def test_push_moves_the_embeddings_alone(self, z):
        f = build()
        z = [v.requires_grad_() for v in z]
        f.push(z).backward()
        assert all(v.grad.abs().sum() > 0 for v in z)
        assert all(p.grad is None for p in f.parameters())

    @pytest.mark.parametrize('norm', NORMS)
    def test_descending_the_push_lowers_the_affinity(self, z, seeds, norm):
        f = build(norm=norm)
        optimizer = torch.optim.SGD(f.parameters(), lr=0.1)
        for _ in range(50):
            optimizer.zero_grad()
            f.loss(z, seeds(N))['loss_affinity'].backward()
            optimizer.step()
        z = [v.clone().requires_grad_() for v in z]
        before = f.push(z)
        gradients = torch.autograd.grad(before, z)
        moved = [v - 0.05 * g for v, g in zip(z, gradients, strict=True)]
        assert f.push(moved) < before

    @pytest.mark.parametrize('norm', NORMS)
    def test_learns_to_tell_pairs_apart(self, seeds, norm):
        """Sixty steps lower Omega from chance; the AUC follows.

        With Adam it does from every start; with SGD the start and the machine decided.
        """
        centres = F.normalize(torch.randn(64, DIM), dim=1)
        z = [F.normalize(centres + 0.1 * torch.randn(64, DIM), dim=1) for _ in range(2)]
        f = build(norm=norm)
        optimizer = torch.optim.Adam(f.parameters(), lr=0.03)
        first = last = f.loss(z, seeds(64))
        for _ in range(60):
            optimizer.zero_grad()
            last = f.loss(z, seeds(64))
            last['loss_affinity'].backward()
            optimizer.step()
        assert last['loss_affinity'] < 0.5 * first['loss_affinity']
        if norm != 'separate_bn':  # which may read the answer from the batch
            assert last['auc_affinity'] > 0.9


class TestPairs:
    def test_negatives_are_other_images(self, seeds):
        """Sample n is paired with N - 1 - n, in both orders."""
        z = [
            torch.arange(float(N))[:, None].repeat(1, DIM),
            100 + torch.arange(float(N))[:, None].repeat(1, DIM),
        ]
        f = build()
        positive, negative = torch.cat(f.positives(z)), torch.cat(f.negatives(z))
        first, second = (half[:, 0] % 100 for half in negative.chunk(2, dim=1))
        assert torch.equal(second, N - 1 - first)
        first, second = (half[:, 0] % 100 for half in positive.chunk(2, dim=1))
        assert torch.equal(first, second)
        # never two views of one kind in a pair
        for pairs in (positive, negative):
            views = [half[:, 0] >= 100 for half in pairs.chunk(2, dim=1)]
            assert torch.equal(views[0], ~views[1])

    @pytest.mark.parametrize('count', [2, 3, 5, 8])
    @pytest.mark.parametrize('negatives', ['reversed', 'next'])
    def test_no_sample_is_its_own_negative(self, count, negatives):
        z = torch.arange(float(count))[:, None]
        other = build(negatives=negatives).other_image(z)
        assert (other != z).all()

    def test_one_image_has_no_negative(self, seeds):
        with pytest.raises(ValueError, match='negatives from another image'):
            build().loss([torch.randn(1, DIM)] * 2, seeds(1))

    @pytest.mark.parametrize('noise_on', ['both', 'positives'])
    def test_noise_belongs_to_the_embedding(self, z, seeds, noise_on):
        def seen(f, z, s) -> tuple:
            """What f is asked in training: (positive, negative), two orders each."""
            asked = []
            f.f.scores = lambda *pairs: asked.append(pairs) or (torch.zeros(2),) * 2
            f.loss(z, s)
            return asked[0]

        f = build(noise=0.3, noise_on=noise_on)
        (pos, swapped), negative = seen(f, z, seeds(N))
        clean = seen(build(noise=0.0), z, seeds(N))
        noise = pos - clean[0][0]
        # one noise per embedding, the same in both orders
        torch.testing.assert_close(noise, (swapped - clean[0][1]).roll(DIM, dims=1))
        # and another for the other embedding, by more than rounding
        assert (noise[:, :DIM] - noise[:, DIM:]).abs().mean() > 0.01
        on_negatives = negative[0] - clean[1][0]
        if noise_on == 'positives':
            assert torch.equal(negative[0], clean[1][0])
        else:  # those of the two embeddings, the second of another image
            torch.testing.assert_close(on_negatives[:, :DIM], noise[:, :DIM])
            torch.testing.assert_close(on_negatives[:, DIM:], noise[:, DIM:].flip(0))
        mixed = torch.randperm(N)
        (again, _), _ = seen(f, [v[mixed] for v in z], seeds(N)[mixed])
        torch.testing.assert_close(again, pos[mixed])
        (later, _), _ = seen(f, z, seeds(N, epoch=1))
        assert (later - pos).abs().mean() > 0.01

    def test_noise_has_the_releases_size(self, seeds):
        f = Affinity(dim=64, norm='none', noise=0.3)
        asked = []
        f.f.scores = lambda *pairs: asked.append(pairs) or (torch.zeros(2),) * 2
        f.loss([torch.zeros(512, 64)] * 2, seeds(512))
        for kind in asked[0]:
            for pairs in kind:
                assert pairs.std().item() == pytest.approx(0.3 / math.sqrt(64), rel=0.02)

    @pytest.mark.parametrize('noise_on', ['both', 'positives'])
    def test_the_noise_must_not_tell_pairs(self, noise_on, seeds):
        """Unrelated embeddings: the pairs differ in nothing but, as released, length."""
        torch.manual_seed(0)
        f = Affinity(dim=16, norm_cfg=dict(type='BN1d'), noise_on=noise_on)
        optimizer = torch.optim.SGD(f.parameters(), lr=0.1, momentum=0.9)
        omega, knows = [], []
        for step in range(200):
            z = [F.normalize(torch.randn(256, 16), dim=1) for _ in range(2)]
            optimizer.zero_grad()
            out = f.loss(z, seeds(256, epoch=step))
            out['loss_affinity'].backward()
            optimizer.step()
            omega.append(out['loss_affinity'].item())
            knows.append(out['auc_affinity'].item())
        omega, knows = (sum(values[-40:]) / 40 for values in (omega, knows))
        assert knows == pytest.approx(0.5, abs=0.03)  # of clean pairs nothing, either way
        if noise_on == 'both':
            assert omega == pytest.approx(2 * math.log(2), rel=0.03)
        else:
            assert omega < 0.9 * 2 * math.log(2)

    def test_more_locals_make_all_pairs(self, seeds):
        z = [torch.full((4, DIM), float(i)) for i in range(3)]
        positive, negative = (
            torch.cat(make(z)) for make in (build().positives, build().negatives)
        )
        assert len(positive) == len(negative) == 3 * 2 * 4
        got = {
            (a.item(), b.item())
            for a, b in zip(positive[:, 0], positive[:, DIM], strict=True)
        }
        assert got == set(itertools.permutations((0.0, 1.0, 2.0), 2))


def mlp(f: Affinity, x: np.ndarray) -> np.ndarray:
    """f in NumPy, BatchNorm over the rows it is given."""
    for layer in f.f:
        if isinstance(layer, torch.nn.Linear):
            x = (
                x @ layer.weight.detach().numpy().T.astype(np.float64)
                + layer.bias.detach().numpy()
            )
        elif isinstance(layer, torch.nn.BatchNorm1d):
            x = (x - x.mean(0)) / np.sqrt(x.var(0) + layer.eps)
        else:
            x = np.maximum(x, 0)
    return x[:, 0]


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


class TestNumbers:
    @pytest.mark.parametrize('norm', ['joint_bn', 'separate_bn', 'none'])
    @pytest.mark.parametrize('objective', ['logistic', 'difference'])
    def test_omega_in_numpy(self, z, seeds, norm, objective):
        f = build(norm=norm, objective=objective, noise=0.0)
        a, b = (v.numpy().astype(np.float64) for v in z)
        reverse = np.arange(N)[::-1]
        positive = np.concatenate([np.hstack((a, b)), np.hstack((b, a))])
        negative = np.concatenate([np.hstack((a, b[reverse])), np.hstack((b, a[reverse]))])
        if norm == 'separate_bn':  # a batch for each order of each kind, as released
            pos, neg = (
                np.concatenate([mlp(f, order) for order in np.split(pairs, 2)])
                for pairs in (positive, negative)
            )
        else:
            both = mlp(f, np.concatenate((positive, negative)))
            pos, neg = both[: 2 * N], both[2 * N :]
        if objective == 'logistic':
            want = softplus(-pos).mean() + softplus(neg).mean()
        else:
            want = neg.mean() - pos.mean()
        got = f.loss(z, seeds(N))['loss_affinity'].item()
        assert got == pytest.approx(want, abs=1e-5)

    def test_push_in_numpy(self, z):
        f = build(norm='none')
        a, b = (v.numpy().astype(np.float64) for v in z)
        want = softplus(
            mlp(f, np.concatenate([np.hstack((a, b)), np.hstack((b, a))]))
        ).mean()
        assert f.push(z).item() == pytest.approx(want, abs=1e-5)

    def test_chance_is_two_log_two(self, z, seeds):
        f = build()
        torch.nn.init.zeros_(f.f[-1].weight), torch.nn.init.zeros_(f.f[-1].bias)
        out = f.loss(z, seeds(N))
        assert out['loss_affinity'].item() == pytest.approx(2 * math.log(2))
        assert out['auc_affinity'].item() == pytest.approx(0.5)
        assert f.push(z).item() == pytest.approx(math.log(2))

    def test_cosine_of_locals(self, z, seeds):
        out = build().loss(z, seeds(N))
        assert out['cos_ll'].item() == pytest.approx(
            (z[0] * z[1]).sum(1).mean().item(), abs=1e-6
        )


def test_a_batch_per_label_hides_what_was_learnt(seeds):
    """Spec, section 3: positives and negatives in batches of their own.

    Each is normalised by its own statistics. On the same clustered embeddings the
    joint form learns to tell pairs apart, and the released one hardly does.
    """
    reached = {}
    for norm in ('joint_bn', 'separate_bn'):
        torch.manual_seed(0)
        f = Affinity(dim=16, norm=norm, norm_cfg=dict(type='BN1d'))
        optimizer = torch.optim.SGD(f.parameters(), lr=0.1, momentum=0.9)
        for step in range(150):
            centres = torch.randn(128, 16)
            z = [F.normalize(centres + 0.3 * torch.randn(128, 16), dim=1) for _ in range(2)]
            optimizer.zero_grad()
            out = f.loss(z, seeds(128, epoch=step))
            out['loss_affinity'].backward()
            optimizer.step()
        reached[norm] = {name: value.item() for name, value in out.items()}
    joint, separate = reached['joint_bn'], reached['separate_bn']
    assert joint['loss_affinity'] < 0.5 * separate['loss_affinity']
    assert joint['auc_affinity'] > 0.95
    assert separate['auc_affinity'] < joint['auc_affinity'] - 0.05


@pytest.mark.parametrize('norm', NORMS)
def test_the_logged_auc_is_of_clean_pairs_in_evaluation_mode(z, seeds, norm):
    """Not what f said in training, which knows the noise and, batch by batch, the label."""
    f = build(norm=norm, noise=3.0)
    for epoch in range(5):
        f.loss(z, seeds(N, epoch=epoch))
    out = f.loss(z, seeds(N))
    f.eval()
    pairs = (torch.cat(make(z)) for make in (f.positives, f.negatives))
    want = auc(*(f.f(kind).squeeze(1) for kind in pairs))
    assert out['auc_affinity'].item() == pytest.approx(want.item())


class TestAUC:
    @pytest.mark.parametrize(
        ('positive', 'negative', 'want'),
        [
            ([2, 3], [0, 1], 1.0),
            ([0, 1], [2, 3], 0.0),
            ([1, 1], [1, 1], 0.5),
            ([1, 2], [1, 0], 0.875),
        ],
    )
    def test_by_hand(self, positive, negative, want):
        got = auc(
            torch.tensor(positive, dtype=torch.float),
            torch.tensor(negative, dtype=torch.float),
        )
        assert got.item() == pytest.approx(want)

    def test_counts_every_pair(self):
        p, n = torch.randn(31).round(decimals=1), torch.randn(17).round(decimals=1)
        wins = [(a > b) + 0.5 * (a == b) for a in p.tolist() for b in n.tolist()]
        assert auc(p, n).item() == pytest.approx(sum(wins) / len(wins))


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (dict(norm='bn'), "affinity.norm='bn', but it must be one of"),
        (dict(noise_on='negatives'), "affinity.noise_on='negatives'"),
        (dict(negatives='all'), "affinity.negatives='all'"),
        (dict(objective='hinge'), "affinity.objective='hinge'"),
    ],
)
def test_bad_choices(changes, text):
    with pytest.raises(ValueError, match=text):
        build(**changes)
