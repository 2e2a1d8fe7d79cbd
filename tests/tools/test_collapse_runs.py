"""Runs that are made to collapse, and one that is not: the alarm, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch.nn.functional as F
from helpers import tool

from mmlogo.models.heads.pull import CosinePull

pytestmark = pytest.mark.slow

# The quickstart's network at half its width, on its photographs at half their size.
CONFIG = """
_base_ = 'mmlogo::quickstart.py'
model = dict(
    data_preprocessor=dict(
        views=dict(global_views=dict(size=16), local_views=dict(size=8))
    ),
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=64, hid_channels=128, out_channels=128),
    head=dict(
        pull=dict(predictor=dict(in_channels=128, hid_channels=32, out_channels=128)),
        affinity=dict(dim=128),
    ),
)
train_cfg = dict(max_epochs=2, val_interval=9)
default_hooks = dict(
    collapse=dict(interval=12, patience=3), validate_first=None, checkpoint=None
)
optim_wrapper = dict(optimizer=dict(lr=%g))
"""


def run(folder: Path, lr: float) -> tuple[str, list[dict]]:
    """The log's text and the collapse records."""
    cfg = folder / 'run.py'
    cfg.write_text(CONFIG % lr)
    tool('train', cfg, '--work-dir', folder / 'work')
    (log,) = folder.glob('work/*/*.log')
    (scalars,) = folder.glob('work/*/vis_data/scalars.json')
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    return log.read_text(), [r for r in records if 'collapse/std_ratio/global' in r]


@pytest.mark.parametrize('lr', [0.1, 0.5])  # 0.5 as of the run without stop-gradient
def test_a_healthy_run_is_silent_and_measured(lr, tmp_path):
    log, records = run(tmp_path, lr)
    assert 'COLLAPSE' not in log
    assert [record['step'] for record in records] == list(range(12, 97, 12))
    shares = [record['collapse/rank_share/global'] for record in records]
    assert shares[-1] > 10  # without the stop-gradient it is below 5
    assert min(shares) > 5  # where the alarm begins; at a rate of 0.5 they vary by 5


def test_without_the_stop_gradient_the_alarm_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(
        CosinePull, 'forward', lambda self, p, z: -F.cosine_similarity(p, z, dim=1).mean()
    )
    monkeypatch.setattr(CosinePull, 'prepare', lambda self, z: z)
    log, records = run(tmp_path, lr=0.5)
    assert records[-1]['collapse/rank_share/global'] < 5
    assert 'COLLAPSE' in log
    assert 'check that the targets carry no gradient' in log


def test_at_too_high_a_learning_rate_the_alarm_says_so(tmp_path):
    log, _ = run(tmp_path, lr=10)
    assert 'COLLAPSE' in log
    assert 'the learning rate is too high' in log
