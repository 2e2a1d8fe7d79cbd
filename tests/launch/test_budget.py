"""Equal updates and equal processor time, from costs that are known."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from mmlogo.launch.budget import (
    Demand,
    StepCost,
    equal_batches,
    line_through,
    multiple_of,
    shares,
)


def demand(image: float, fixed: float = 0.0, batch: int = 64, **changes) -> Demand:
    values = dict(
        cost=StepCost(fixed, image),
        batch=batch,
        multiple=1,
        images=5000,
        drop_last=True,
        evaluation=10.0,
        epochs=60,
        interval=10,
        first=True,
    )
    return Demand(**values | changes)


def test_a_line_goes_through_its_measurements():
    assert line_through({32: 3.0, 64: 5.0}) == (1.0, 0.0625)
    assert line_through({64: 5.0}).at(32) == 2.5
    with pytest.raises(ValueError, match='a larger batch must cost more'):
        line_through({32: 3.0, 64: 2.9})


def test_the_costlier_arm_gets_the_smaller_batch():
    # 0.1 + 0.002 B = 0.02 + 0.0015 * 64 = 0.116: B = 8
    demands = dict(one=demand(0.0015, 0.02), other=demand(0.002, 0.1))
    assert equal_batches(demands) == dict(one=64, other=8)


def test_twice_the_cost_is_half_the_batch_and_twice_the_epochs():
    demands = dict(one=demand(0.003), other=demand(0.006))
    batches = equal_batches(demands)
    assert batches == dict(one=64, other=32)
    seconds = {arm: d.cost.at(batches[arm]) for arm, d in demands.items()}
    found = shares(demands, batches, seconds, 10.0)
    # 7 evaluations of 10 s leave 530 s, 2760 steps of 0.192 s: 35.4 epochs of 78 steps
    # of which 34 are also 17 of the other's 156 steps
    assert {arm: share.epochs for arm, share in found.items()} == dict(one=34, other=17)
    assert {share.updates for share in found.values()} == {2652}
    for share in found.values():
        assert share.minutes == pytest.approx(10.0, rel=0.04)
        assert -(-share.epochs // share.interval) <= 6


def test_multiples_are_kept_and_smaller_first_batches_tried():
    # 64 of the first would want 42.7 of the other; 48 and 32 cost the same
    demands = dict(one=demand(0.004, multiple=8), other=demand(0.006, multiple=8))
    assert equal_batches(demands) == dict(one=48, other=32)


def test_no_batch_is_larger_than_that_of_its_config():
    demands = dict(one=demand(0.004, batch=64), other=demand(0.005, batch=32))
    # a step of the other costs least with its own batch, so it is the one that keeps it
    assert equal_batches(demands) == dict(one=40, other=32)


def test_too_small_a_budget_says_what_is_needed():
    demands = dict(one=demand(0.003), other=demand(0.006))
    batches, seconds = dict(one=64, other=32), dict(one=0.192, other=0.192)
    with pytest.raises(
        ValueError, match=r'1 CPU minutes are too few: one needs 1.4 for one'
    ):
        shares(demands, batches, seconds, 1.0)
    demands = {arm: d._replace(evaluation=0.0) for arm, d in demands.items()}
    # an epoch of the one are 78 steps, and of the other 156
    with pytest.raises(ValueError, match=r'are 281 updates .* give one 312, other 312'):
        shares(demands, batches, seconds, 0.9)


def test_the_multiple_is_of_every_split_norm():
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(norm_cfg=dict(type='SplitBN', num_splits=4)),
                necks=[dict(norm_cfg=dict(type='SplitBN', num_splits=6)), dict(type='A')],
            )
        )
    )
    assert multiple_of(cfg) == 12
    assert multiple_of(Config(dict(model=dict(type='A')))) == 1
