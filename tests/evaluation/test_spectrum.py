"""Measures of collapse against spectra whose values are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mmlogo.evaluation import Features, SpectrumMetric
from mmlogo.evaluation.spectrum import alpha_req, mean_cosine, rank_me, std_ratio


def with_spectrum(values: Tensor, n: int = 60, centred: bool = True) -> Tensor:
    """(n, D) with singular values `values`, columns of zero mean if centred."""
    generator = torch.Generator().manual_seed(0)
    d = len(values)
    left = torch.randn(n, d, generator=generator, dtype=torch.float64)
    if centred:
        left -= left.mean(0)
    right = torch.randn(d, d, generator=generator, dtype=torch.float64)
    left, right = torch.linalg.qr(left)[0], torch.linalg.qr(right)[0]
    return left * values @ right.T


def test_std_ratio_is_one_on_a_full_sphere_and_zero_in_a_point():
    cross = torch.cat((torch.eye(7), -torch.eye(7)))
    assert std_ratio(cross) == pytest.approx(1, abs=1e-6)
    assert std_ratio(cross * torch.arange(1, 15)[:, None]) == pytest.approx(1, abs=1e-6)
    assert std_ratio(torch.randn(1, 7).expand(20, 7)) == pytest.approx(0, abs=1e-6)
    # two opposite directions of d: each channel's deviation is |v_c|
    v = torch.tensor([3.0, 4.0]) / 5
    assert std_ratio(torch.stack((v, -v))) == pytest.approx(0.7 * math.sqrt(2), abs=1e-6)


def test_mean_cosine_is_that_of_all_pairs():
    cross = torch.cat((torch.eye(5), -torch.eye(5)))
    assert mean_cosine(cross) == pytest.approx(-1 / 9, abs=1e-6)
    assert mean_cosine(torch.ones(4, 3)) == pytest.approx(1, abs=1e-6)
    x = torch.randn(6, 4)
    pairs = [
        torch.cosine_similarity(x[i], x[j], dim=0).item()
        for i in range(6)
        for j in range(6)
        if i != j
    ]
    assert mean_cosine(x) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


@pytest.mark.parametrize(
    ('values', 'rank'),
    [
        ([1, 1, 1, 1, 1], 5),
        ([3, 0, 0, 0, 0], 1),
        ([2, 1, 1, 0, 0], 2**1.5),  # entropy of (1/2, 1/4, 1/4)
        ([8, 4, 2, 1, 1], 2 ** (30 / 16)),
    ],
)
def test_rank_me_is_the_exponential_of_the_entropy(values, rank):
    x = with_spectrum(torch.tensor(values, dtype=torch.float64), centred=False)
    assert rank_me(x) == pytest.approx(rank, rel=1e-4)
    assert rank_me(1e-3 * x.float()) == pytest.approx(rank, rel=1e-4)


@pytest.mark.parametrize('alpha', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('offset', [0.0, 10.0])
def test_alpha_req_is_the_exponent_of_a_power_law(alpha, offset):
    j = torch.arange(1, 21, dtype=torch.float64)
    x = with_spectrum(j ** (-alpha / 2)) + offset  # eigenvalues are squares
    assert alpha_req(x) == pytest.approx(alpha, abs=1e-6)
    assert alpha_req(x, first=3, last=12) == pytest.approx(alpha, abs=1e-6)


def test_alpha_req_leaves_rounding_out():
    """Directions no float32 feature can have are no part of the power law."""
    j = torch.arange(1, 11, dtype=torch.float64)
    values = torch.cat((j**-0.5, torch.zeros(5, dtype=torch.float64)))
    assert alpha_req(with_spectrum(values).float()) == pytest.approx(1, abs=1e-3)
    assert alpha_req(torch.ones(9, 4)) == math.inf


def test_the_metric_measures_the_queries():
    x = with_spectrum(torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)).float()
    index = torch.arange(len(x))
    query, bank = Features(x, index, index), Features(torch.ones_like(x), index, index)
    scores = SpectrumMetric(features='backbone').score(bank, query)
    assert scores == {
        'spectrum_backbone/std_ratio': std_ratio(x),
        'spectrum_backbone/mean_cosine': mean_cosine(x),
        'spectrum_backbone/rank_me': rank_me(x),
        'spectrum_backbone/alpha_req': alpha_req(x),
    }
