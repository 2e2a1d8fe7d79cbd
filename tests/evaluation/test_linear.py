"""Linear classifiers on frozen features."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mmlogo.evaluation import (
    Features,
    LinearMetric,
    LinearProbe,
    fit_linear,
    linear,
)
from mmlogo.evaluation.linear import accuracies


def clusters(n: int, noise: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """n samples of 4 classes in 6 dimensions, the last of which is 100 times larger."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 4
    x = F.one_hot(y, 6).float() + noise * torch.randn(n, 6, generator=generator)
    x[:, 5] *= 100
    return x, y


def test_each_classifier_is_torchs_sgd_alone():
    """The closed gradient and the batched rates against autograd and torch.optim."""
    x, y = clusters(23, 0.5)
    x = x.double()
    how = dict(num_classes=4, epochs=3, batch_size=8, momentum=0.9, weight_decay=0.01)
    weight, bias = fit_linear(x, y, lrs=(0.01, 0.1), seed=5, **how)
    for place, lr in enumerate((0.01, 0.1)):
        net = torch.nn.Linear(6, 4).double()
        torch.nn.init.zeros_(net.weight)
        torch.nn.init.zeros_(net.bias)
        sgd = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, weight_decay=0.01)
        generator = torch.Generator().manual_seed(5)
        for epoch in range(3):
            order = torch.randperm(23, generator=generator)
            for step in range(2):
                sgd.param_groups[0]['lr'] = (
                    lr * (1 + math.cos(math.pi * (2 * epoch + step) / 6)) / 2
                )
                rows = order[8 * step : 8 * (step + 1)]
                sgd.zero_grad()
                F.cross_entropy(net(x[rows]), y[rows]).backward()
                sgd.step()
        torch.testing.assert_close(weight[place], net.weight.T)
        torch.testing.assert_close(bias[place, 0], net.bias)


def test_fewer_samples_than_a_batch_are_one_batch():
    weight, _ = fit_linear(*clusters(8, 0.1), num_classes=4, lrs=[0.1], epochs=1)
    assert weight.abs().sum() > 0


def features(n: int, noise: float, seed: int) -> Features:
    x, y = clusters(n, noise, seed)
    return Features(x, y, torch.arange(n))


def test_the_metric_names_its_protocol_and_separates_classes():
    scores = LinearMetric(epochs=20).score(features(200, 0.2, 1), features(80, 0.2, 2))
    assert scores.keys() == {'linear_cached/top1', 'linear_cached/lr'}  # four classes
    assert scores['linear_cached/top1'] > 95
    swapped = features(80, 0.2, 2)
    swapped = swapped._replace(label=(swapped.label + 1) % 4)
    assert (
        LinearMetric(epochs=20).score(features(200, 0.2, 1), swapped)['linear_cached/top1']
        < 5
    )


def test_the_learning_rate_is_chosen_without_the_queries():
    """One rate diverges on the bank; labels of the queries may say what they like."""
    bank, query = features(2000, 0.8, 1), features(80, 0.8, 2)
    for lrs in ((1e9, 0.1), (0.1, 1e9)):
        metric = LinearMetric(lrs=lrs, epochs=5)
        for shift in range(4):
            shifted = query._replace(label=(query.label + shift) % 4)
            assert metric.compute(bank, shifted)['lr'] == 0.1


def test_a_held_out_tenth_chooses_the_rate_and_no_sample_of_it_is_fitted(monkeypatch):
    fitted = []

    def fit(x, y, **how):
        fitted.append((x, y))
        return fit_linear(x, y, **how)

    monkeypatch.setattr(linear, 'fit_linear', fit)
    bank = features(200, 0.2, 1)
    LinearMetric(epochs=1).compute(bank, features(8, 0.2, 2))
    x = (bank.feature - bank.feature.mean(dim=0)) / bank.feature.std(dim=0)
    rest = torch.arange(200) % 10 != 9
    (first, _), (second, _) = fitted
    torch.testing.assert_close(first, x[rest])
    torch.testing.assert_close(second, x)


def test_queries_are_standardised_as_the_bank_is():
    """All of one class: by their own mean they would lie where no class is."""
    query = features(80, 0.05, 2)
    one = Features(*(column[query.label == 2] for column in query))
    assert LinearMetric(epochs=20).compute(features(200, 0.05, 1), one)['top1'] == 100


def test_top_five_counts_the_five_best_and_is_left_out_for_few_classes():
    scores = torch.tensor([[6.0, 5, 4, 3, 2, 1], [1.0, 2, 3, 4, 5, 6]])
    label = torch.tensor([4, 0])
    for shift in (0, -10):  # logits have any sign
        assert accuracies(scores + shift, label) == {'top1': 0.0, 'top5': 50.0}
        assert accuracies(scores + shift, torch.tensor([0, 5]))['top1'] == 100.0
    assert accuracies(scores[:, :5], label) == {'top1': 0.0}


def test_a_new_probe_scores_nothing_and_standardises():
    probe = LinearProbe(6, 4)
    x, _ = clusters(64, 0.5)
    assert torch.equal(probe(x), torch.zeros(64, 4))
    torch.testing.assert_close(probe[0](x).std(0, unbiased=False), torch.ones(6))


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match=r'lrs=\(\), epochs=100, but there must be'):
        LinearMetric(lrs=())
    with pytest.raises(ValueError, match='19 samples are too few, give 20 or more'):
        LinearMetric().compute(features(19, 0.1, 0), features(4, 0.1, 0))
