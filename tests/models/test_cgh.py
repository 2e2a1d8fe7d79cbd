"""CGH's neck and losses against plain loops, and its published sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import build, cgh, tick
from torch import nn

from mmlogo.config import configs_folder, load_config
from mmlogo.models.heads import RelationHead
from mmlogo.models.necks import HypercolumnNeck
from mmlogo.models.parts.clock import Clock
from mmlogo.models.parts.queue import AlignedQueues
from mmlogo.models.parts.ramp import Ramp
from mmlogo.registry import MODELS

N, D, LENGTH = 5, 6, 9
TAU = dict(s_g=0.10, t_g=0.04, s_h=0.08, t_h=0.08)


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=1)


def pair(n: int = N) -> tuple[torch.Tensor, torch.Tensor]:
    return unit(n, D), unit(n, D)


class TestHypercolumnNeck:
    @pytest.fixture
    def neck(self) -> HypercolumnNeck:
        return HypercolumnNeck(
            in_channels=(2, 3),
            mid_channels=4,
            hid_channels=5,
            out_channels=D,
            norm_cfg=dict(type='BN'),
        ).double()

    def stages(self, ratio: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.randn(N, 2, 3 * ratio, 3 * ratio, dtype=torch.float64),
            torch.randn(N, 3, 3, 3, dtype=torch.float64),
        )

    def test_is_the_plain_loops(self, neck):
        before, last = self.stages()
        g, h = neck((before, last))
        mix, norm = neck.mix[0].weight.detach().numpy()[:, :, 0, 0], neck.mix[1]
        x = np.zeros((N, 5, 3, 3))
        for i in range(3):
            for j in range(3):  # half the side, bilinear: the mean of 2 x 2
                block = before.numpy()[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                x[:, :2, i, j] = block.mean(axis=(2, 3))
        x[:, 2:] = last.numpy()
        mixed = np.einsum('mc,ncij->nmij', mix, x)
        for m in range(4):
            values = mixed[:, m]
            mixed[:, m] = (values - values.mean()) / np.sqrt(values.var() + norm.eps)
        pooled = np.maximum(mixed, 0).mean(axis=(2, 3))

        def mlp(v, layers):
            (a, b), (c, d) = (
                (layer.weight.detach().numpy(), layer.bias.detach().numpy())
                for layer in (layers[0], layers[2])
            )
            return np.maximum(v @ a.T + b, 0) @ c.T + d

        expected_g = mlp(last.numpy().mean(axis=(2, 3)), neck.global_mlp)
        expected_h = mlp(pooled, neck.hypercolumn_mlp)
        np.testing.assert_allclose(g.detach().numpy(), expected_g, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(h.detach().numpy(), expected_h, rtol=1e-9, atol=1e-12)
        single = neck.float()((before.float(), last.float()))
        for got, want in zip(single, (expected_g, expected_h), strict=True):
            np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-5, atol=1e-5)

    def test_takes_other_sizes(self, neck):
        before = torch.randn(2, 2, 7, 5, dtype=torch.float64)
        last = torch.randn(2, 3, 4, 3, dtype=torch.float64)
        assert [x.shape for x in neck((before, last))] == [(2, D)] * 2

    def test_one_stage_is_too_few(self, neck):
        with pytest.raises(ValueError, match=r'set backbone.out_indices=\(2, 3\)'):
            neck((self.stages()[1],))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max())
    return e / e.sum()


def naive(query, key, negatives, alpha: float) -> dict[str, float]:
    """One image at a time."""
    (q, q_h), (k, k_h), (queue, queue_h) = (
        [x.double().numpy() for x in p] for p in (query, key, negatives)
    )
    gh, hg, contrast = [], [], []
    for n in range(len(q)):
        s_g, t_g = softmax(queue @ q[n] / TAU['s_g']), softmax(queue @ k[n] / TAU['t_g'])
        s_h = softmax(queue_h @ q_h[n] / TAU['s_h'])
        t_h = softmax(queue_h @ k_h[n] / TAU['t_h'])
        gh.append(-sum(t_g[j] * np.log(s_h[j]) for j in range(LENGTH)))
        hg.append(-sum(t_h[j] * np.log(s_g[j]) for j in range(LENGTH)))
        contrast.append(
            sum(
                -np.log(softmax(np.array([a @ b, *(neg @ a)]) / 0.2)[0])
                for a, b, neg in ((q[n], k[n], queue), (q_h[n], k_h[n], queue_h))
            )
        )
    losses = dict(loss_gh=alpha * np.mean(gh) / 2, loss_hg=alpha * np.mean(hg) / 2)
    if alpha < 1:
        losses['loss_contrast'] = (1 - alpha) * np.mean(contrast)
    return losses


class TestRelationHead:
    @pytest.mark.parametrize('alpha', [0.0, 0.3, 1.0])
    def test_is_the_plain_loops(self, alpha):
        query, key, negatives = pair(), pair(), pair(LENGTH)
        got = RelationHead().loss(query, key, negatives, alpha)
        expected = naive(query, key, negatives, alpha)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name].item() == pytest.approx(value, rel=1e-5)

    def test_each_temperature_has_its_place(self):
        query, key, negatives = pair(), pair(), pair(LENGTH)
        base = RelationHead().loss(query, key, negatives, 1.0)
        for place, moved in enumerate(('loss_hg', 'loss_gh', 'loss_gh', 'loss_hg')):
            temperatures = [0.10, 0.04, 0.08, 0.08]
            temperatures[place] *= 2
            head = RelationHead(temperatures=temperatures)
            other = head.loss(query, key, negatives, 1.0)
            changed = {name for name in base if not torch.equal(base[name], other[name])}
            assert changed == {moved}

    def test_keys_and_queues_get_no_gradient(self):
        query, key, negatives = pair(), pair(), pair(LENGTH)
        crops = [unit(N, D)]
        for x in (*query, *key, *negatives, *crops):
            x.requires_grad_()
        sum(RelationHead().loss(query, key, negatives, 0.5, crops).values()).backward()
        assert all(x.grad.abs().sum() > 0 for x in (*query, *crops))
        assert all(x.grad is None for x in (*key, *negatives))

    @pytest.mark.parametrize('alpha', [0.35, 1.0])
    def test_small_crops_share_the_querys_relation_term(self, alpha):
        """(1 - a) L_con + a/2 H(t_g, s_h) + a/2 [H(t_h, s_g) + sum H(t_h, s_crop)] / 5."""
        query, key, negatives = pair(), pair(), pair(LENGTH)
        head, crops = RelationHead(), [torch.randn(N, D) for _ in range(4)]
        main = naive(query, key, negatives, alpha)
        queue, queue_h = (x.double().numpy() for x in negatives)
        local = 0.0
        for crop in crops:
            for n in range(N):
                x = (crop[n] / crop[n].norm()).double().numpy()
                t_h = softmax(queue_h @ key[1][n].double().numpy() / TAU['t_h'])
                local -= (t_h * np.log(softmax(queue @ x / TAU['s_g']))).sum() / N
        expected = main | dict(
            loss_hg=main['loss_hg'] / 5, loss_local=alpha / 2 * local / 5
        )
        got = head.loss(query, key, negatives, alpha, crops)
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name].item() == pytest.approx(value, rel=1e-5), name

    @pytest.mark.parametrize('temperatures', [(0.1,), (0.1, 0.1, 0.1, 0.0)])
    def test_refuses_temperatures_that_cannot_be(self, temperatures):
        with pytest.raises(ValueError, match='there must be four > 0'):
            RelationHead(temperatures=temperatures)


class TestRamp:
    def ramp(self, epochs: int = 2) -> Ramp:
        ramp = Ramp(epochs=epochs)
        ramp.clock = Clock(updates=1, steps_per_epoch=4)
        return ramp

    def test_rises_by_step_and_stays(self):
        ramp, values = self.ramp(), []
        for step in range(11):
            ramp.clock.tell(iteration=step, update=0)
            values.append(ramp.value())
        assert values == [step / 8 for step in range(8)] + [1.0] * 3

    def test_has_no_state(self):
        """Its value is the clock's: a resume needs nothing, a new training begins at 0."""
        assert self.ramp().state_dict() == {}

    def test_refuses_less_than_no_epochs(self):
        with pytest.raises(ValueError, match='a ramp over -1 epochs'):
            Ramp(epochs=-1)

    def test_without_epochs_it_is_one(self):
        assert Ramp(epochs=0).value() == 1.0

    def test_says_what_it_does_not_know(self):
        with pytest.raises(ValueError, match=r"Ramp has no clock.*type='ClockHook'"):
            Ramp(epochs=1).value()


class TestAlignedQueues:
    def test_every_row_is_one_image_in_all_of_them(self):
        queues = AlignedQueues(length=6, dims=(2, 3))
        for start in (0, 4, 8):  # wraps
            image = torch.arange(start, start + 2.0)[:, None]
            queues.enqueue(image.expand(2, 2), -image.expand(2, 3))
            image = image + 2
            queues.enqueue(image.expand(2, 2), -image.expand(2, 3))
        first, second = queues.negatives()
        assert (first.shape, second.shape) == ((6, 2), (6, 3))
        assert torch.equal(first[:, 0], -second[:, 0])
        assert sorted(first[:, 0].tolist()) == [6, 7, 8, 9, 10, 11]

    def test_starts_with_unit_vectors_in_each(self):
        for keys in AlignedQueues(length=4, dims=(2, 5)).negatives():
            torch.testing.assert_close(keys.norm(dim=1), torch.ones(4))


def test_contrast_gives_way_to_relations(photo_images, seeds):
    """With 4 steps an epoch and a ramp of 2: after step 8 no InfoNCE is computed."""
    model = build(cgh())
    seen = []
    for step in range(10):
        data = dict(inputs=photo_images[:8], seeds=seeds(8, epoch=step))
        losses = model.loss(**model.data_preprocessor(data, True))
        seen.append(set(losses))
        tick(model)
    assert ['loss_contrast' in names for names in seen] == [True] * 8 + [False] * 2


def test_sizes_are_the_published_ones():
    cfg = load_config(str(configs_folder() / 'cgh_r50_in1k.py'))
    with torch.device('meta'):
        neck = MODELS.build(cfg.model.neck)

    def millions(*modules: nn.Module) -> float:
        return sum(p.numel() for m in modules for p in m.parameters()) / 1e6

    assert millions(neck.mix, neck.hypercolumn_mlp) == pytest.approx(16.79, abs=0.005)
    assert millions(neck.global_mlp) == pytest.approx(10.49, abs=0.005)


def test_queues_hold_the_same_images(photo_images, seeds):
    """Row j of both is a key of image j of the batch."""
    model = build(cgh())
    seen = []
    loss = model.head.loss
    model.head.loss = lambda query, key, *rest: seen.append(key) or loss(query, key, *rest)
    data = model.data_preprocessor(dict(inputs=photo_images, seeds=seeds(32)), True)
    model.loss(**data)
    for queued, key in zip(model.queues.negatives(), seen[0], strict=True):
        torch.testing.assert_close(queued[:32], key)
