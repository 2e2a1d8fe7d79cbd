"""A comparison says what the logs of its runs say, and names what is missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from helpers import K20, LOGGED, ended, started, write_run

from mmlogo.report.charts import draw_arms
from mmlogo.report.comparison import (
    Arm,
    anywhere,
    cells_of,
    draw_curves_of,
    final,
    markdown,
    summarise,
)
from mmlogo.runs import Cost, read_run


@pytest.fixture
def arm(tmp_path):
    """`arm(name, {seed: value at the end}, {seed: why it is missing})`."""

    def make(
        name: str, values: dict[int, float], missing: dict | None = None, **more
    ) -> Arm:
        runs = {
            seed: read_run(
                write_run(tmp_path / f'{name}_{seed}', seed, [20, 30, v], **more)
            )
            for seed, v in values.items()
        }
        return Arm(name, runs, missing or {})

    return make


def test_the_table_by_hand(arm, tmp_path):
    arms = [arm('a', {0: 50.0, 1: 52.0, 2: 54.0}), arm('b', {0: 51.0, 1: 54.0, 2: 57.0})]
    result = summarise(arms, [K20])
    first, second = result['metrics'][K20]
    assert (first['mean'], first['sd'], first['difference']) == (52.0, 2.0, None)
    assert (second['mean'], second['sd']) == (54.0, 3.0)
    # differences 1, 2, 3: mean 2, s 1, half 4.30265 / sqrt(3)
    found = second['difference']
    assert (found['mean'], found['sd'], found['pairs']) == (2.0, 1.0, 3)
    assert found['low'] == pytest.approx(2 - 2.48414, abs=1e-4)
    assert found['high'] == pytest.approx(2 + 2.48414, abs=1e-4)
    # t(6) 2.4469 / sqrt(7) = .925 <= 1 < t(5) 2.5706 / sqrt(6) = 1.049: 7 pairs
    assert second['more_for_1_point'] == 4
    assert cells_of(result, K20)[1] == [
        *('b', '54.0 ± 3.0', '0, 1, 2', '+2.0', '-0.5 to +4.5', '3', '4 more'),
        # 20 updates x 8 images x 4 views
        *('8', '0.1', '4', '20', '0.00064', '1'),
    ]
    draw_curves_of(arms, [K20], tmp_path / 'compare.png')
    assert (tmp_path / 'compare.png').stat().st_size > 0
    page = markdown(result)
    assert '| b | 54.0 ± 3.0 | 0, 1, 2 | +2.0 | -0.5 to +4.5 | 3 | 4 more |' in page
    assert 'python tools/train.py mine.py --cfg-options randomness.seed=SEED\n' in page
    assert '/x/' not in page
    assert json.loads(json.dumps(result)) == result


def test_intervals_of_synthetic_runs_cover_the_effect(arm, tmp_path):
    """Runs with a true difference of 2, and seeds that are hard for both arms."""
    generator, covered, trials = np.random.default_rng(0), 0, 40
    for trial in range(trials):
        hard = 50 + generator.normal(0, 3, 3)
        noise = generator.normal(0, 0.5, (2, 3))
        arms = [
            arm(f'a{trial}', dict(enumerate((hard + noise[0]).tolist()))),
            arm(f'b{trial}', dict(enumerate((hard + noise[1] + 2).tolist()))),
        ]
        result = summarise(arms, [K20])
        found = result['metrics'][K20][1]['difference']
        covered += found['low'] <= 2 <= found['high']
        # unpaired, the deviation of the seeds would make it some four times as wide
    assert covered / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_a_missing_seed_is_named_and_not_averaged_over(arm, tmp_path):
    arms = [
        arm('a', {0: 50.0, 1: 60.0}, {2: 'it failed: no space'}),
        arm('b', {1: 61.0, 2: 90.0}),
    ]
    result = summarise(arms, [K20])
    first, second = result['metrics'][K20]
    assert (first['mean'], second['mean']) == (55.0, 75.5)  # each over its own seeds
    assert (list(first['values']), list(second['values'])) == (['0', '1'], ['1', '2'])
    found = second['difference']
    assert (found['mean'], found['pairs'], found['low']) == (1.0, 1, None)  # seed 1 alone
    notes = '\n'.join(result['notes'])
    assert 'a lacks seed 2: it failed: no space' in notes
    assert 'b and a do not share seed 0, 2: no pair' in notes
    assert 'b: one pair has no deviation, so there is no interval; add a seed' in notes
    assert cells_of(result, K20)[1][3:7] == ['+1.0', '-', '1', '']
    assert '| b | missing | 61.00 | 90.00 |' in markdown(result)


def test_arms_without_a_shared_seed_have_no_difference(arm, tmp_path):
    result = summarise([arm('a', {0: 50.0}), arm('b', {1: 60.0})], [K20])
    assert result['metrics'][K20][1]['difference'] is None


def test_equal_differences_promise_nothing(arm, tmp_path):
    arms = [arm('a', {0: 50.0, 1: 60.0}), arm('b', {0: 51.0, 1: 61.0})]
    result = summarise(arms, [K20])
    assert result['metrics'][K20][1]['more_for_1_point'] is None
    assert any('no width shows nothing' in note for note in result['notes'])


def test_a_value_before_the_end_does_not_count(arm, tmp_path):
    arms = [arm('a', {0: 50.0, 1: 51.0}), arm('b', {0: 60.0})]
    lost = read_run(write_run(tmp_path / 'lost', 1, [20, 30, math.nan]))
    arms[1].runs[1] = lost
    with pytest.raises(
        ValueError, match=r'last knn/top1_k20 is of epoch 2, and it ended at 4'
    ):
        final(lost, K20)
    result = summarise(arms, [K20])
    assert list(result['metrics'][K20][1]['values']) == ['0']
    assert any('b lacks seed 1' in note for note in result['notes'])


def test_a_metric_that_no_run_has(arm, tmp_path):
    arms = [arm('a', {0: 50.0}), arm('b', {0: 60.0})]
    with pytest.raises(ValueError, match=r'no knn/top1_k7, but knn/top1_k20; give one of'):
        summarise(arms, ['knn/top1_k7'])


def test_the_runs_of_an_arm_differ_in_the_seed_alone(arm, tmp_path):
    arms = [arm('a', {0: 50.0}), arm('b', {0: 60.0})]
    other = write_run(
        tmp_path / 'x', 1, [1, 2, 3], config=LOGGED.replace('lr=0.1', 'lr=0.2')
    )
    arms[0].runs[1] = read_run(other)
    with pytest.raises(
        ValueError, match=r'differ in optim_wrapper.optimizer.lr \(0.1 and 0.2'
    ):
        summarise(arms, [K20])


def test_runs_of_two_protocols_are_not_compared(arm, tmp_path):
    elsewhere = LOGGED.replace("'test', data_root='DIR'", "'test', data_root='OTHER'")
    arms = [arm('a', {0: 50.0}), arm('b', {0: 60.0}, config=elsewhere)]
    summarise(arms, [K20])  # the same data in another folder
    arms[1] = arm('c', {0: 60.0}, config=LOGGED.replace("'test'", "'val'"))
    with pytest.raises(
        ValueError, match=r"differ in val_dataloader.dataset.split \('test'"
    ):
        summarise(arms, [K20])


@pytest.mark.parametrize(
    ('notes', 'cost'),
    [
        ([started(0), ended(20, 60.0)], Cost(60.0, True)),
        # interrupted, and gone on: both parts are known
        (
            [started(0), ended(12, 36.0, 'interrupted'), started(0, 12), ended(20, 25.0)],
            Cost(61.0, True),
        ),
        # killed after a checkpoint at step 15: its 15 steps at the pace of the last 5
        ([started(0), started(0, 15), ended(20, 20.0)], Cost(80.0, False)),
        # killed before any checkpoint: nothing of it counts
        ([started(0), started(0), ended(20, 60.0)], Cost(60.0, True)),
        ([started(0)], None),
    ],
)
def test_the_processor_time_of_what_counts(tmp_path, notes, cost):
    run = read_run(write_run(tmp_path / 'run', 0, [1, 2, 3], notes))
    assert run.cost() == cost
    assert run.complete == (cost is not None)


def test_an_estimate_is_marked(arm, tmp_path):
    notes = [started(0), started(0, 15), ended(20, 20.0)]
    arms = [arm('a', {0: 50.0}, notes=notes), arm('b', {0: 60.0})]
    result = summarise(arms, [K20])
    assert [cells[-1] for cells in cells_of(result, K20)] == ['~1.33', '1']
    assert any('a, seed 0: a process was killed' in note for note in result['notes'])


def test_updates_count_accumulated_iterations_once(tmp_path):
    config = LOGGED.replace('lr=0.1)', 'lr=0.1), accumulative_counts=4')
    run = read_run(write_run(tmp_path / 'run', 3, [1, 2, 3], config=config))
    assert (run.updates, run.batch, run.views_of_image, run.seed) == (5, 32, 4, 3)


def test_a_curve_is_the_mean_in_the_range_of_the_seeds(arm, tmp_path):
    one, other = [(0, 20.0), (2, 30.0), (4, 50.0)], [(0, 24.0), (4, 54.0)]
    curves = {K20: {'a': [one, other], 'b': [one]}}
    figure = draw_arms(curves, {'a': 0.5, 'b': None}, tmp_path / 'x.png')
    left, right = figure.axes
    lines = {line.get_gid(): line.get_xydata().tolist() for line in left.lines}
    # epoch 2 is of one seed, so it is no mean
    assert lines == {'a': [[0, 22], [4, 52]], 'b': [[0, 20], [2, 30], [4, 50]]}
    (band,) = left.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices.tolist()}
    assert corners == {(0, 20), (0, 24), (4, 50), (4, 54)}
    paced = {line.get_gid(): line.get_xydata().tolist() for line in right.lines}
    assert paced == {'a': [[0, 22], [2, 52]]}
    with pytest.raises(ValueError, match='7 arms in one picture'):
        draw_arms({}, dict.fromkeys('abcdefg'), tmp_path / 'x.png')


@pytest.mark.parametrize(
    ('command', 'short'),
    [
        (
            'python /a/b/tools/train.py /c/configs/x.py --amp',
            'tools/train.py configs/x.py --amp',
        ),
        (
            'python t.py /c/mine.py --data-root /d --work-dir /e --resume auto',
            't.py mine.py --data-root DIR',
        ),
        (
            'python t.py x.py --cfg-options randomness.seed=12 a.b=1',
            't.py x.py --cfg-options randomness.seed=SEED a.b=1',
        ),
    ],
)
def test_a_command_says_nothing_of_the_machine(command, short):
    assert anywhere(command) == f'python {short}'
