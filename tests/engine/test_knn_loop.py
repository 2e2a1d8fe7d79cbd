"""What the k-NN loop refuses and leaves; it runs in tests/tools/test_train.py."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from mmlogo.engine import knn_loop
from mmlogo.engine.knn_loop import KNNLoop, _check_same_classes
from mmlogo.evaluation import KNNMetric


def data(*classes: str) -> SimpleNamespace:
    return SimpleNamespace(metainfo=dict(classes=classes))


def test_bank_and_queries_number_their_classes_alike():
    _check_same_classes(data('cat', 'dog'), data('cat', 'dog'))
    _check_same_classes(SimpleNamespace(), data('cat'))  # nothing to compare
    with pytest.raises(ValueError, match=r"2 and 1 classes; in one only: \['cat'\]"):
        _check_same_classes(data('cat', 'dog'), data('dog'))


class Identity(nn.Module):
    """An encoder that says in which mode it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bool] = []
        self.norm = nn.BatchNorm1d(2)

    def data_preprocessor(self, batch: dict, training: bool) -> dict:
        return dict(inputs=batch['inputs'])

    def forward(self, inputs, mode):
        self.asked.append(self.training)
        return (inputs,)


@pytest.mark.parametrize('training', [True, False])
def test_a_model_is_evaluated_and_goes_on_in_the_mode_it_had(training, monkeypatch):
    """And with the mean of BatchNorm's statistics, as in a checkpoint, for all features."""
    shared = []

    @contextmanager
    def averaged(module):
        assert module is model
        shared.append('begun')
        yield
        shared.append(f'ended after {len(model.asked)}')

    monkeypatch.setattr(knn_loop, 'averaged_statistics', averaged)
    batch = dict(
        inputs=torch.eye(2),
        gt_label=torch.tensor([0, 1]),
        sample_idx=torch.tensor([0, 1]),
    )
    model = Identity().train(training)
    hooks = []
    run = SimpleNamespace(
        model=model,
        seed=0,
        call_hook=lambda name, **_: hooks.append(name),
        build_evaluator=lambda metrics: SimpleNamespace(metrics=metrics),
        build_dataloader=lambda loader, *_: loader,
    )
    loader = DataLoader([batch], batch_size=None)
    loop = KNNLoop(run, loader, [KNNMetric(k=1)], bank_dataloader=loader)
    assert loop.run() == {'knn/top1_k1': 100.0}
    assert model.asked == [False, False]
    assert shared == ['begun', 'ended after 2']
    assert model.training is training
    assert model.norm.training is training
    assert (hooks[0], hooks[-1]) == ('before_val', 'after_val')
