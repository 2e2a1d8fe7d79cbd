"""The classifier beside the encoder; that it changes nothing: tests/tools/test_train.py."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import simsiam_logo
from mmengine.registry import init_default_scope
from mmpretrain.structures import DataSample
from torch import Tensor

from mmlogo.engine.hooks.online_probe import OnlineProbeHook, labels_of
from mmlogo.engine.knn_loop import KNNLoop
from mmlogo.evaluation import Features, OnlineProbeMetric
from mmlogo.registry import MODELS


def runner(classes: tuple[str, ...] = ('a', 'b')) -> SimpleNamespace:
    """As much of a runner as the hook looks at, with a real model."""
    init_default_scope('mmlogo')
    loop = object.__new__(KNNLoop)
    loop.evaluator = SimpleNamespace(metrics=[OnlineProbeMetric()])
    return SimpleNamespace(
        model=MODELS.build(simsiam_logo()).train(),
        train_dataloader=SimpleNamespace(
            dataset=SimpleNamespace(metainfo=dict(classes=classes))
        ),
        val_loop=loop,
        iter=0,
    )


def step(hook: OnlineProbeHook, run: SimpleNamespace, batch: dict) -> dict[str, Tensor]:
    data = run.model.data_preprocessor(batch, True)
    run.model(**data, mode='loss')
    outputs: dict[str, Tensor] = {}
    hook.after_train_iter(run, 0, batch, outputs)
    return outputs


@pytest.fixture
def batch(photo_images, seeds) -> dict:
    images = photo_images[[0, 1, 8, 9]]
    return dict(inputs=images, seeds=seeds(4), gt_label=torch.tensor([0, 0, 1, 1]))


def test_it_hears_the_global_views_alone(batch, monkeypatch):
    hook, run, heard = OnlineProbeHook(), runner(), []
    monkeypatch.setattr(hook, 'learn', lambda x, y: heard.append((x, y)) or torch.zeros(()))
    hook.before_train(run)
    step(hook, run, batch)
    x, y = heard[0]
    assert x.shape == (2 * 4, 32)  # two globals of four images, no local
    assert y.tolist() == [0, 0, 1, 1] * 2
    assert not x.requires_grad
    # the globals, in the order of the labels
    views = run.model.data_preprocessor(batch, True)['inputs'][:2]
    with torch.no_grad():
        again = [run.model.backbone(view)[-1].mean((2, 3)) for view in views]
    torch.testing.assert_close(x, torch.cat(again))


def test_it_learns_and_the_metric_tells(batch):
    hook, run = OnlineProbeHook(dict(type='Adam', lr=0.1)), runner()
    hook.before_train(run)
    losses = [step(hook, run, batch)['online_loss'].item() for _ in range(10)]
    assert losses[0] == pytest.approx(math.log(2))  # from zero weights
    assert losses[-1] < losses[0]
    hook.before_val(run)
    (metric,) = run.val_loop.evaluator.metrics
    with torch.no_grad():
        x = run.model.backbone(run.model.data_preprocessor(batch, True)['inputs'][0])
    query = Features(x[-1].mean((2, 3)), batch['gt_label'], torch.arange(4))
    assert metric.score(query, query) == {'online/top1': 100.0}
    wrong = query._replace(label=1 - query.label)
    assert metric.score(wrong, wrong) == {'online/top1': 0.0}


def test_samples_without_a_label_do_not_count(batch):
    torch.manual_seed(0)
    x, hook = torch.randn(4, 32), OnlineProbeHook()
    hook.num_classes = 2
    hook.build(x)
    hook.learn(x, torch.tensor([0, 1, -1, -1]))
    after = hook.probe[1].weight.clone()
    hook.build(x)
    hook.learn(x, torch.tensor([0, 1, -1, -1]))
    assert torch.equal(after, hook.probe[1].weight)
    assert hook.learn(x, torch.full((4,), -1)) == 0
    assert torch.isfinite(hook.probe[1].weight).all()


def test_without_the_metric_nothing_is_heard(batch):
    hook, run = OnlineProbeHook(), runner()
    run.val_loop.evaluator.metrics.clear()
    hook.before_train(run)
    step(hook, run, batch)
    assert hook.probe is None


def test_training_without_labels_is_refused(batch):
    hook, run = OnlineProbeHook(), runner(classes=())
    with pytest.raises(ValueError, match='the training set names no classes; take Online'):
        hook.before_train(run)
    hook, run = OnlineProbeHook(), runner()
    hook.before_train(run)
    del batch['gt_label']
    with pytest.raises(ValueError, match='the training batches carry none'):
        step(hook, run, batch)


def test_a_new_run_takes_no_probe_from_the_weights_it_begins_with():
    saved = dict(online_probe=dict(probe={}, optimizer={}))
    hook, run = OnlineProbeHook(), runner()
    hook.after_load_checkpoint(run, saved)
    run.iter = 7  # a resume
    hook.before_train(run)
    assert hook.saved
    run.iter = 0
    hook.before_train(run)
    assert not hook.saved


def test_labels_of_mmpretrains_batches_are_found():
    samples = [DataSample().set_gt_label(i) for i in (4, 8)]
    assert labels_of(dict(data_samples=samples)).tolist() == [4, 8]
    assert labels_of(dict(data_samples=[DataSample()])) is None


def test_views_in_one_forward_are_said_not_to_be_heard(batch, caplog):
    hook, run = OnlineProbeHook(), runner()
    run.logger = SimpleNamespace(warning=caplog.handler.records.append)
    hook.before_train(run)
    views = run.model.data_preprocessor(batch, True)['inputs']
    run.model.backbone(torch.cat(views[:2]))
    for _ in range(2):
        hook.after_train_iter(run, 0, batch, {})
    assert len(caplog.handler.records) == 1
