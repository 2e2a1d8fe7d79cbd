"""LEWEL's neck and losses against plain loops, and its published sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import build, coupled_neck, lewel_b, lewel_m
from torch import nn

from mmlogo.config import configs_folder, load_config
from mmlogo.models.heads import AlignedContrastHead, AlignedPredictHead
from mmlogo.models.necks import CoupledNeck, TokenMLP
from mmlogo.models.parts.representative import Representative
from mmlogo.registry import MODELS

N, C, D, GROUPS, SIDE = 3, 8, 6, 2, 2
K, P = D // GROUPS, SIDE * SIDE


def neck(**changes) -> CoupledNeck:
    torch.manual_seed(0)
    cfg = dict(in_channels=C, hid_channels=5, out_channels=D, num_groups=GROUPS)
    made = CoupledNeck(**cfg | dict(norm_cfg=dict(type='BN')) | changes).double()
    for parameter in made.parameters():  # BN's too
        nn.init.normal_(parameter)
    return made


def batch_norm(x: np.ndarray, norm: nn.Module) -> np.ndarray:
    """Over images and positions, one channel at a time; x is (N, C, L)."""
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c, :]
        unit = (values - values.mean()) / np.sqrt(values.var() + norm.eps)
        out[:, c, :] = unit * norm.weight[c].item() + norm.bias[c].item()
    return out


def token_mlp(x: np.ndarray, mlp: TokenMLP) -> np.ndarray:
    first, norm, _, second = mlp.layers
    w1, w2 = (layer.weight.detach().numpy()[:, :, 0, 0] for layer in (first, second))
    hidden = np.stack([[w1 @ x[n, :, p] for p in range(x.shape[2])] for n in range(len(x))])
    hidden = np.maximum(batch_norm(hidden.transpose(0, 2, 1), norm), 0)
    return np.stack(
        [[w2 @ hidden[n, :, p] for p in range(x.shape[2])] for n in range(len(x))]
    ).transpose(0, 2, 1)


def coupled(x: np.ndarray, module: CoupledNeck) -> tuple[np.ndarray, np.ndarray]:
    """The table of the paper's neck, one image, group, map and position at a time."""
    pixels = x.reshape(N, C, P)
    tokens = np.concatenate((pixels.mean(axis=2, keepdims=True), pixels), axis=2)
    projected = token_mlp(tokens, module.projector)
    z, raw = projected[:, :, 0], projected[:, :, 1:]
    aligned = np.zeros((N, C, K))
    for n in range(N):
        unit = np.stack([raw[n, :, p] / np.linalg.norm(raw[n, :, p]) for p in range(P)], 1)
        for g in range(GROUPS):
            for k in range(K):
                weights = np.exp(unit[g * K + k] / module.scale)
                weights /= weights.sum()
                for c in range(g * C // GROUPS, (g + 1) * C // GROUPS):
                    aligned[n, c, k] = sum(weights[p] * pixels[n, c, p] for p in range(P))
    return z, token_mlp(aligned, module.aligned_projector)


class TestCoupledNeck:
    @pytest.mark.parametrize('scale', [1.0, 0.1])
    def test_is_the_plain_loops(self, scale):
        module, x = neck(scale=scale), torch.randn(N, C, SIDE, SIDE, dtype=torch.float64)
        z, u = module((x,))
        expected_z, expected_u = coupled(x.numpy(), module)
        np.testing.assert_allclose(z.detach().numpy(), expected_z, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(u.detach().numpy(), expected_u, rtol=1e-9, atol=1e-12)
        single = module.float()((x.float(),))
        np.testing.assert_allclose(single[0].detach().numpy(), expected_z, atol=1e-5)
        np.testing.assert_allclose(single[1].detach().numpy(), expected_u, atol=1e-5)

    def test_uniform_maps_give_the_pooled_vector(self):
        pixels = torch.randn(N, C, P)
        aligned = neck().align(pixels, torch.full((N, D, P), 1 / P))
        for k in range(K):
            torch.testing.assert_close(aligned[:, :, k], pixels.mean(dim=2))

    def test_one_hot_maps_pick_a_pixel_for_one_group_of_channels(self):
        pixels, maps = torch.randn(N, C, P), torch.full((N, D, P), 1 / P)
        maps[:, K] = F.one_hot(torch.tensor(3), P).float()  # map 0 of group 1
        aligned = neck().align(pixels, maps)
        half = C // GROUPS
        torch.testing.assert_close(aligned[:, half:, 0], pixels[:, half:, 3])
        torch.testing.assert_close(aligned[:, :half, 0], pixels[:, :half].mean(2))
        torch.testing.assert_close(aligned[:, half:, 1], pixels[:, half:].mean(2))

    def test_maps_are_distributions_over_positions(self):
        maps = neck().alignment(torch.randn(N, D, P, dtype=torch.float64))
        torch.testing.assert_close(maps.sum(2), torch.ones(N, D, dtype=torch.float64))

    def test_maps_carry_gradient_to_the_projector(self):
        module = neck()
        _, u = module((torch.randn(N, C, SIDE, SIDE, dtype=torch.float64),))
        u.square().sum().backward()
        assert module.projector.layers[0].weight.grad.abs().sum() > 0

    def test_refuses_a_scale_of_zero(self):
        with pytest.raises(ValueError, match=r'scale=0\.0, but the maps are divided by it'):
            neck(scale=0.0)

    @pytest.mark.parametrize('changes', [dict(in_channels=7), dict(out_channels=5)])
    def test_groups_divide_both_widths(self, changes):
        with pytest.raises(ValueError, match='num_groups=2 must divide in_channels'):
            neck(**changes)


class TestPredictHead:
    @pytest.fixture
    def head(self) -> AlignedPredictHead:
        return build(lewel_b()).head

    def embeddings(self) -> tuple:
        return torch.randn(5, 8), torch.randn(5, 8, 4)

    def test_is_the_plain_loops(self, head):
        p, t = self.embeddings(), self.embeddings()

        def distance(a, b):
            return 2 - 2 * a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        (z, u), (tz, tu) = ([x.double().numpy() for x in pair] for pair in (p, t))
        head.lambda_z = 0.3
        expected = [
            0.3 * np.mean([distance(z[n], tz[n]) for n in range(5)]),
            0.7
            * np.mean(
                [distance(u[n, :, k], tu[n, :, k]) for n in range(5) for k in range(4)]
            ),
        ]
        got = head.loss(p, t)
        assert list(got) == ['loss_global', 'loss_aligned']
        np.testing.assert_allclose([v.item() for v in got.values()], expected, rtol=1e-5)

    def test_maps_are_matched_by_index(self, head):
        p = self.embeddings()
        same = head.loss(p, p)
        assert same['loss_aligned'].item() == pytest.approx(0, abs=1e-6)
        rolled = head.loss(p, (p[0], p[1].roll(1, dims=2)))
        assert rolled['loss_aligned'] > 0.1

    def test_opposite_embeddings_are_the_upper_end(self, head):
        p = self.embeddings()
        opposite = head.loss(p, (-p[0], -p[1]))
        # each direction 4, two of them: the published range is [0, 8]
        assert sum(opposite.values()).item() == pytest.approx(4)

    def test_targets_get_no_gradient(self, head):
        p, t = self.embeddings(), self.embeddings()
        for x in (*p, *t):
            x.requires_grad_()
        sum(head.loss(p, t).values()).backward()
        assert all(x.grad is not None for x in p)
        assert all(x.grad is None for x in t)


class TestLEWELB:
    def test_starts_near_four(self, photo_images, seeds):
        """Predictors know nothing yet: cosines near 0 in 256 dimensions."""
        norm_cfg = dict(type='BN')
        width = dict(in_channels=256, hid_channels=64, out_channels=256)
        model = build(
            lewel_b(
                neck=coupled_neck(norm_cfg) | dict(hid_channels=64, out_channels=256),
                head=dict(
                    type='AlignedPredictHead',
                    predictor=dict(type='TokenMLP', norm_cfg=norm_cfg, **width),
                ),
            )
        )
        data = model.data_preprocessor(dict(inputs=photo_images, seeds=seeds(32)), True)
        losses = model(**data, mode='loss')
        assert sum(losses.values()).item() == pytest.approx(4, abs=0.3)

    def test_is_symmetric_over_the_two_views(self, photo_images, seeds):
        model = build(lewel_b())
        views = model.data_preprocessor(dict(inputs=photo_images, seeds=seeds(32)), True)
        state = {k: v.clone() for k, v in model.state_dict().items()}
        there = model.loss(views['inputs'])
        model.load_state_dict(state)
        back = model.loss(views['inputs'][::-1])
        for name in there:
            torch.testing.assert_close(there[name], back[name])

    @pytest.mark.parametrize('statistics', ['averaged', 'own'])
    def test_teacher_normalises_as_told(self, photo_images, seeds, statistics):
        teacher = dict(momentum=0.9, statistics=statistics)
        model = build(lewel_b(teacher=teacher))
        data = model.data_preprocessor(dict(inputs=photo_images, seeds=seeds(32)), True)
        model.loss(**data)
        whole = model.teacher(data['inputs'][0])[0]
        part = model.teacher(data['inputs'][0][:8])[0]
        # statistics of its own batch make an embedding depend on its neighbours
        alone = torch.allclose(whole[:8], part, atol=1e-5)
        assert alone == (statistics == 'averaged')


class TestContrastHead:
    def test_is_the_plain_loops(self):
        head = AlignedContrastHead(temperature=0.2, lambda_z=0.25)
        query, key = (
            head.prepare((torch.randn(4, 6), torch.randn(4, 6, 3))) for _ in range(2)
        )
        negatives = tuple(F.normalize(torch.randn(10, 6), dim=1) for _ in range(2))

        def nce(q, k, queue):
            logits = np.array([q @ k, *(queue @ q)]) / 0.2
            return -np.log(np.exp(logits[0]) / np.exp(logits).sum())

        (z, u), (kz, ku), (nz, nu) = (
            [x.double().numpy() for x in pair] for pair in (query, key, negatives)
        )
        expected = [
            0.25 * np.mean([nce(z[n], kz[n], nz) for n in range(4)]),
            0.75
            * np.mean(
                [nce(u[n, :, k], ku[n, :, k], nu) for n in range(4) for k in range(3)]
            ),
        ]
        got = head.loss(query, key, negatives)
        np.testing.assert_allclose([v.item() for v in got.values()], expected, rtol=1e-5)


class TestRepresentative:
    def test_random_is_one_of_the_images_own(self, seeds):
        u = torch.randn(64, 5, 4)
        chosen = Representative('random')(u, seeds(64))
        index = [(u[n] == chosen[n, :, None]).all(0).nonzero().item() for n in range(64)]
        assert sorted(set(index)) == [0, 1, 2, 3]
        assert torch.equal(chosen, Representative('random')(u, seeds(64)))
        assert not torch.equal(chosen, Representative('random')(u, seeds(64, epoch=1)))

    def test_mean_is_a_direction(self, seeds):
        u = F.normalize(torch.randn(6, 5, 4), dim=1)
        mean = Representative('mean')(u, seeds(6))
        torch.testing.assert_close(mean, F.normalize(u.sum(2), dim=1))

    def test_refuses_others(self):
        with pytest.raises(
            ValueError, match=r"enqueue='first', but .*\('random', 'mean'\)"
        ):
            build(lewel_m(enqueue='first'))


@pytest.mark.parametrize(
    'changes',
    [  # what the paper leaves open
        dict(enqueue='mean'),
        dict(enqueue='random'),
        dict(neck=coupled_neck(None)),
        dict(
            neck=coupled_neck(None) | dict(out_channels=12, num_groups=4),
            queue=dict(length=64, dims=(12, 12)),
        ),
    ],
)
def test_queues_hold_the_same_images(changes, photo_images, seeds):
    """Row j of the second queue is an aligned vector of the image of row j."""
    model = build(lewel_m(**changes))
    seen = []
    loss = model.head.loss
    model.head.loss = lambda query, key, negatives: (
        seen.append(key) or loss(query, key, negatives)
    )
    data = model.data_preprocessor(dict(inputs=photo_images, seeds=seeds(32)), True)
    model.loss(**data)
    z, u = model.queues.negatives()
    torch.testing.assert_close(z[:32], seen[0][0])
    aligned = seen[0][1]  # (32, D, K)
    if changes.get('enqueue') == 'mean':
        aligned = F.normalize(aligned.mean(2, keepdim=True), dim=1)
    distance = (aligned - u[:32, :, None]).abs().amax(dim=1)
    assert distance.amin(dim=1).max() < 1e-6


def millions(*modules: nn.Module) -> float:
    return sum(p.numel() for m in modules for p in m.parameters()) / 1e6


def test_sizes_are_the_published_ones():
    cfg = load_config(str(configs_folder() / 'lewel_b_eman_r50_in1k.py'))
    backbone = MODELS.build(cfg.model.backbone)
    with torch.device('meta'):
        neck, head = MODELS.build(cfg.model.neck), MODELS.build(cfg.model.head)
    assert millions(neck) == pytest.approx(18.89, abs=0.005)
    assert millions(backbone, neck) == pytest.approx(42.40, abs=0.005)
    assert millions(head.predictor) == pytest.approx(2.105, abs=0.0005)
    assert millions(head.aligned_predictor) == pytest.approx(2.105, abs=0.0005)
    with torch.device('meta'):
        z, u = neck((torch.empty(2, 2048, 7, 7),))
    assert (z.shape, u.shape) == ((2, 256), (2, 256, 64))
