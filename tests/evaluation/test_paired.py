"""The interval of paired differences holds the true difference as often as it says."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from mmlogo.evaluation.paired import paired, pairs_for, quantile

TRIALS = 4000
# Four standard errors of a share of 95 per cent in so many trials: 1.4 points.
MARGIN = 4 * math.sqrt(0.95 * 0.05 / TRIALS)


@pytest.mark.parametrize('seeds', [2, 3, 5])
def test_the_interval_covers_a_known_effect(seeds):
    """Seeds that are hard for both arms move both, which only pairs can take out."""
    generator, effect = np.random.default_rng(seeds), 2.0
    covered, widths = 0, []
    for _ in range(TRIALS):
        hard = generator.normal(0, 3, seeds)
        one = 50 + hard + generator.normal(0, 0.5, seeds)
        other = 50 + effect + hard + generator.normal(0, 0.5, seeds)
        found = paired((other - one).tolist())
        covered += found.low <= effect <= found.high
        widths.append(found.high - found.low)
    assert covered / TRIALS == pytest.approx(0.95, abs=MARGIN)
    # by hand: 2 t E[s] / sqrt(n), and E[s] = sigma c4(n)
    c4 = math.sqrt(2 / (seeds - 1)) * math.gamma(seeds / 2) / math.gamma((seeds - 1) / 2)
    width = 2 * T975[seeds] * math.sqrt(0.5) * c4 / math.sqrt(seeds)
    assert np.mean(widths) == pytest.approx(width, rel=0.05)


T975 = {2: 12.7062, 3: 4.30265, 4: 3.18245, 5: 2.77645, 10: 2.26216, 31: 2.04227}  # tables


@pytest.mark.parametrize('pairs', T975)
def test_the_quantile_is_that_of_the_tables(pairs):
    assert quantile(pairs) == pytest.approx(T975[pairs], rel=1e-5)


def test_an_interval_by_hand():
    # differences -2, 0, 2: mean 0, s 2, half 4.30265 * 2 / sqrt(3)
    found = paired([-2.0, 0.0, 2.0])
    assert (found.mean, found.sd, found.pairs) == (0.0, 2.0, 3)
    assert found.high == pytest.approx(4.968, abs=1e-3)
    assert found.low == -found.high


def test_one_pair_has_no_interval():
    assert paired([1.5]) == (1.5, None, None, None, 1)


@pytest.mark.parametrize('sd', [0.0, 0.05, 0.3, 1.0, 1.7, 4.0, 30.0])
def test_the_number_of_pairs_is_the_smallest(sd):
    def half(n: int) -> float:
        return quantile(n) * sd / math.sqrt(n)

    counted = next(n for n in range(2, 10_000) if half(n) <= 1)
    assert pairs_for(sd) == counted


@pytest.mark.parametrize(
    ('call', 'words'),
    [
        (lambda: paired([]), 'finite numbers, at least one'),
        (lambda: paired([1.0, math.nan]), 'finite numbers, at least one'),
        (lambda: quantile(1), '1 pairs have no interval: .* add seeds'),
        (lambda: quantile(3, 1.0), r'level=1.0, but it must be between 0 and 1'),
        (lambda: pairs_for(math.inf), 'sd=inf, .* a deviation is finite'),
        (lambda: pairs_for(1.0, 0.0), 'within=0.0'),
    ],
)
def test_what_cannot_be_computed_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.slow
def test_without_scipy_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['scipy'] = None; sys.modules['scipy.special'] = None\n"
        'import mmlogo.evaluation.paired'
    )
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert 'need scipy, which is not installed; pip install' in found.stderr
