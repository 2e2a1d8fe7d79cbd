"""Chooses batches and epochs so that trainings have equal updates and equal CPU time.

Plain functions of measured costs. `tools/compare.py --budget` uses them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mmengine.config import Config

NEAR = 0.02  # steps whose costs differ by less count as equal
UNEQUAL = 0.05  # numbers of updates that differ by more do not


class StepCost(NamedTuple):
    """The processor time of a step with B images, seconds: `fixed + image * B`."""

    fixed: float
    image: float

    def at(self, batch: int) -> float:
        """Return the seconds of a step with a batch."""
        return self.fixed + self.image * batch


class Demand(NamedTuple):
    """What one arm asks for."""

    cost: StepCost
    batch: int  # of its config: its batch is never larger
    multiple: int  # its batch is a multiple of this
    images: int  # in its data set
    drop_last: bool  # whether a last batch that is not full is left out
    evaluation: float  # seconds of processor time
    epochs: int  # of its config
    interval: int  # epochs between two evaluations, of its config
    first: bool  # whether the untrained network is evaluated


class Share(NamedTuple):
    """What one arm gets."""

    batch: int
    epochs: int
    interval: int  # epochs between two evaluations
    updates: int
    minutes: float  # of processor time, expected


def line_through(costs: Mapping[int, float]) -> StepCost:
    """Return the cost of a step as a line through measurements.

    Args:
        costs: Batch -> seconds of a step. With one entry, only images cost time.

    Raises:
        ValueError: If a larger batch did not cost more, as on a machine with other work.
    """
    small, large = min(costs), max(costs)
    if small == large:
        return StepCost(0.0, costs[large] / large)
    image = (costs[large] - costs[small]) / (large - small)
    if image <= 0:
        raise ValueError(
            f'a step with {large} images took {costs[large]:.3g} s of processor time, and '
            f'one with {small} took {costs[small]:.3g} s; a larger batch must cost more. '
            'Other work disturbed the measurement: remove the folder `costs`, call again'
        )
    return StepCost(max(0.0, costs[small] - image * small), image)


def multiple_of(cfg: Config) -> int:
    """Return the number that the batch must be a multiple of: BatchNorm's `num_splits`."""
    splits = (node['num_splits'] for node in _dicts(cfg.model) if 'num_splits' in node)
    return math.lcm(*splits)


def _dicts(node: object) -> Iterator[Mapping]:
    if isinstance(node, Mapping):
        yield node
        for value in node.values():
            yield from _dicts(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)


def equal_batches(demands: Mapping[str, Demand]) -> dict[str, int]:
    """Choose batches whose steps cost the same.

    The arm whose step costs least keeps the batch of its config, and the others get the
    batch whose step costs as much. Batches are multiples, so the costs may still differ.
    If they do by more than 2 per cent, smaller batches of the first arm are tried, and
    those are taken whose costs differ least.
    """
    first = min(demands, key=lambda arm: demands[arm].cost.at(demands[arm].batch))
    base = demands[first]
    best: dict[str, int] = {}
    least = math.inf
    for batch in range(base.batch, base.batch // 2 - 1, -base.multiple):
        aim = base.cost.at(batch)
        found = {
            arm: batch if arm == first else _nearest(demand, aim)
            for arm, demand in demands.items()
        }
        spread = max(abs(demands[arm].cost.at(b) / aim - 1) for arm, b in found.items())
        if spread < least:
            best, least = found, spread
        if least <= NEAR:
            break
    return best


def _nearest(demand: Demand, seconds: float) -> int:
    """Return the allowed batch whose step costs most nearly so many seconds."""
    aim = (seconds - demand.cost.fixed) / demand.cost.image / demand.multiple
    most = demand.batch // demand.multiple
    return demand.multiple * max(1, min(most, round(aim)))


def shares(
    demands: Mapping[str, Demand],
    batches: Mapping[str, int],
    seconds: Mapping[str, float],
    minutes: float,
) -> dict[str, Share]:
    """Choose epochs so that all arms make as many updates as `minutes` allow.

    Epochs are whole, so updates are equal up to half an epoch, and never more than 5 per
    cent apart. Of the numbers of updates that use 97 to 100 per cent of the time, this
    takes the one that fits best.
    Every arm is evaluated about as often as the config with the fewest evaluations says.

    Args:
        demands: What each arm asks for.
        batches: Arm -> its batch.
        seconds: Arm -> processor time of a step with this batch.
        minutes: Processor time of a run, with its evaluations.

    Raises:
        ValueError: If the time is too short for one epoch of every arm, or for numbers of
            epochs with nearly the same updates.
    """
    lengths = {
        arm: (d.images // batches[arm] if d.drop_last else -(-d.images // batches[arm]))
        for arm, d in demands.items()
    }
    evaluations = min(-(-d.epochs // d.interval) for d in demands.values())
    looking = {arm: d.evaluation * (evaluations + d.first) for arm, d in demands.items()}
    allowed = {
        arm: (60 * minutes - looking[arm]) / seconds[arm] / lengths[arm] for arm in demands
    }
    short = [arm for arm, epochs in allowed.items() if not lengths[arm] or epochs < 1]
    if short:
        arm = short[0]
        least = (looking[arm] + seconds[arm] * lengths[arm]) / 60
        raise ValueError(
            f'--budget {minutes:g} CPU minutes are too few: {arm} needs {least:.2g} for '
            f'one epoch and {evaluations + demands[arm].first} evaluations; give more, or '
            'evaluate less often (--cfg-options train_cfg.val_interval=...)'
        )
    most = min(allowed[arm] * lengths[arm] for arm in demands)

    def rounded(updates: float) -> dict[str, int]:
        return {arm: max(1, round(updates / n)) for arm, n in lengths.items()}

    def misfit(updates: float) -> float:
        found = rounded(updates)
        made = [updates, *(found[arm] * lengths[arm] for arm in demands)]
        return (max(made) - min(made)) / updates

    updates = min((most * (1 - n / 1000) for n in range(31)), key=misfit)
    epochs = rounded(updates)
    if misfit(updates) > UNEQUAL:
        made = ', '.join(f'{arm} {epochs[arm] * n:,}' for arm, n in lengths.items())
        raise ValueError(
            f'--budget {minutes:g} CPU minutes are {updates:,.0f} updates for every arm, '
            f'and whole epochs would give {made}; give more minutes'
        )
    return {
        arm: Share(
            batches[arm],
            epochs[arm],
            max(1, -(-epochs[arm] // evaluations)),
            epochs[arm] * lengths[arm],
            (looking[arm] + seconds[arm] * epochs[arm] * lengths[arm]) / 60,
        )
        for arm in demands
    }
