"""Features and their scores: the vote, the bank, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmlogo.evaluation import (
    FeatureMetric,
    Features,
    KNNMetric,
    assemble,
    extract,
    features,
    knn_predict,
)
from mmlogo.evaluation.features import labels_and_indices
from mmlogo.evaluation.knn import greatest, nearest
from mmlogo.registry import METRICS

CLASSES = 7


def vote(
    query: np.ndarray, bank: np.ndarray, labels: np.ndarray, k: int, weight
) -> list[int]:
    """Wu et al.'s vote, one query and one neighbour at a time."""
    predicted = []
    for q in query:
        similarity = [q @ b / np.linalg.norm(q) / np.linalg.norm(b) for b in bank]
        nearest = sorted(range(len(bank)), key=lambda i: -similarity[i])[:k]
        tally = [0.0] * CLASSES
        for i in nearest:
            tally[labels[i]] += weight(similarity[i])
        predicted.append(tally.index(max(tally)))
    return predicted


@pytest.fixture
def sets() -> tuple[Tensor, Tensor, Tensor]:
    """60 queries, a bank of 150 in 16 dimensions, and labels that k-NN half finds."""
    centres = torch.randn(CLASSES, 16)
    labels = torch.arange(150) % CLASSES
    bank = centres[labels] + 1.5 * torch.randn(150, 16)
    query = centres[torch.arange(60) % CLASSES] + 1.5 * torch.randn(60, 16)
    # lengths differ, so that cosine and dot product disagree
    return query * torch.rand(60, 1).exp(), bank * (3 * torch.rand(150, 1)).exp(), labels


@pytest.mark.parametrize('temperature', [0.07, 0.5])
def test_exp_votes_are_the_plain_loops(sets, temperature) -> None:
    numbers = (1, 5, 20, 150)
    arrays = [x.double().numpy() if x.is_floating_point() else x.numpy() for x in sets]
    got = knn_predict(*sets, k=numbers, num_classes=CLASSES, temperature=temperature)
    for k in numbers:
        expected = vote(*arrays, k, lambda s: math.exp(s / temperature))
        assert got[k].tolist() == expected
    assert not torch.equal(got[1], got[150])


def test_majority_votes_are_the_plain_loops(sets) -> None:
    numbers = (1, 5, 20)
    arrays = [x.double().numpy() if x.is_floating_point() else x.numpy() for x in sets]
    got = knn_predict(*sets, k=numbers, num_classes=CLASSES, weighting='majority')
    for k in numbers:
        assert got[k].tolist() == vote(*arrays, k, lambda _: 1.0)
    weighted = knn_predict(*sets, k=(20,), num_classes=CLASSES)
    assert not torch.equal(got[20], weighted[20])


def test_temperature_decides_between_one_near_and_many_far() -> None:
    query = torch.tensor([[1.0, 0.0]])
    far = torch.tensor([math.cos(0.6), math.sin(0.6)])  # similarity 0.825
    bank = torch.stack((query[0], far, far))
    labels = torch.tensor([0, 1, 1])
    votes = {
        t: int(knn_predict(query, bank, labels, k=(3,), num_classes=2, temperature=t)[3])
        for t in (0.07, 1.0)
    }
    # exp(1 / t) against 2 exp(0.825 / t): equal where t = 0.175 / log(2) = 0.252
    assert votes == {0.07: 0, 1.0: 1}


def test_a_tiny_temperature_does_not_overflow(sets) -> None:
    tiny = knn_predict(*sets, k=(1, 20), num_classes=CLASSES, temperature=1e-4)
    assert torch.equal(tiny[20], tiny[1])  # only the nearest counts


@pytest.mark.parametrize('chunk', [1, 7, 60, 1000])
def test_chunks_do_not_matter(sets, chunk) -> None:
    whole = knn_predict(*sets, k=(1, 20), num_classes=CLASSES)
    parts = knn_predict(*sets, k=(1, 20), num_classes=CLASSES, chunk=chunk)
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


def test_several_k_at_once_are_each_alone(sets) -> None:
    together = knn_predict(*sets, k=(20, 1, 7), num_classes=CLASSES)
    assert list(together) == [20, 1, 7]
    for k in together:
        alone = knn_predict(*sets, k=(k,), num_classes=CLASSES)
        assert torch.equal(alone[k], together[k])


def test_ties_go_to_the_lowest_class() -> None:
    bank, query = torch.eye(4), torch.ones(1, 4)  # four neighbours, equally near
    labels = torch.tensor([3, 1, 2, 1])
    for weighting in ('exp', 'majority'):
        args = dict(num_classes=4, weighting=weighting)
        assert knn_predict(query, bank, labels, k=(4,), **args)[4].tolist() == [1]
        labels_of_two = torch.tensor([3, 1, 3, 1])
        assert knn_predict(query, bank, labels_of_two, k=(4,), **args)[4].tolist() == [1]


def test_half_precision_features_are_scored_in_float32(sets) -> None:
    query, bank, labels = sets
    half = knn_predict(query.bfloat16(), bank.bfloat16(), labels, k=(20,), num_classes=7)
    same = knn_predict(
        query.bfloat16().float(), bank.bfloat16().float(), labels, k=(20,), num_classes=7
    )
    assert torch.equal(half[20], same[20])


@pytest.mark.parametrize('k', [(1, 151), (0, 5), (-1,)])
def test_more_neighbours_than_the_bank_has_are_refused(sets, k) -> None:
    message = rf'k-NN with k={max(k)} needs a bank .* it has 150; lower k or enlarge'
    with pytest.raises(ValueError, match=message):
        knn_predict(*sets, k=k, num_classes=CLASSES)


# --- the metric ----------------------------------------------------------------------


def labelled(feature: Tensor, label: Tensor) -> Features:
    return Features(feature, label, torch.arange(len(label)))


def test_separate_classes_give_a_hundred_per_cent() -> None:
    bank_label, query_label = torch.arange(100) % 5, torch.arange(30) % 5
    near = 0.1 * torch.randn(130, 5)
    bank = labelled(torch.eye(5)[bank_label] + near[:100], bank_label)
    query = labelled(torch.eye(5)[query_label] + near[100:], query_label)
    metric = KNNMetric(k=(1, 20))
    assert metric.score(bank, query) == {'knn/top1_k1': 100.0, 'knn/top1_k20': 100.0}
    # and with every label moved by one, none
    wrong = labelled(query.feature, (query_label + 1) % 5)
    assert metric.score(bank, wrong) == {'knn/top1_k1': 0.0, 'knn/top1_k20': 0.0}


def test_labels_without_relation_give_chance() -> None:
    bank = labelled(torch.randn(1000, 8), torch.arange(1000) % 5)
    query = labelled(torch.randn(1000, 8), torch.arange(1000) % 5)
    # 1,000 queries with one in five right: standard deviation 1.3 per cent
    for score in KNNMetric(k=(1, 20)).score(bank, query).values():
        assert 15 < score < 25


def test_accuracy_counts_queries_of_classes_the_bank_lacks() -> None:
    bank = labelled(torch.eye(3), torch.tensor([0, 1, 2]))
    query = labelled(torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 2, 3]))
    assert KNNMetric(k=(1,)).score(bank, query) == {'knn/top1_k1': 75.0}


@pytest.mark.parametrize(
    ('kwargs', 'prefix'),
    [
        ({}, 'knn'),
        (dict(temperature=0.1), 'knn_t0.1'),
        (dict(weighting='majority'), 'knn_majority'),
        (dict(weighting='majority', temperature=0.1), 'knn_majority'),  # t is not used
        (dict(features='neck'), 'knn_neck'),
        (dict(features='neck', temperature=0.1), 'knn_neck_t0.1'),
        (dict(prefix='mine', temperature=0.1), 'mine'),
    ],
)
def test_prefixes_say_what_differs_from_the_defaults(kwargs, prefix) -> None:
    metric = KNNMetric(k=(1,), **kwargs)
    bank = labelled(torch.eye(2), torch.tensor([0, 1]))
    assert list(metric.score(bank, bank)) == [f'{prefix}/top1_k1']


def test_one_k_may_be_a_number() -> None:
    bank = labelled(torch.eye(2), torch.tensor([0, 1]))
    assert KNNMetric(k=1).score(bank, bank) == {'knn/top1_k1': 100.0}


def test_the_metric_votes_as_it_was_told(sets) -> None:
    query, bank, labels = sets
    truth = torch.arange(60) % CLASSES
    for kwargs in (dict(), dict(temperature=1.0), dict(weighting='majority')):
        predicted = knn_predict(query, bank, labels, k=(20,), num_classes=CLASSES, **kwargs)
        expected = 100 * (predicted[20] == truth).double().mean().item()
        metric = KNNMetric(k=(20,), prefix='p', **kwargs)
        got = metric.score(labelled(bank, labels), labelled(query, truth))
        assert got == {'p/top1_k20': pytest.approx(expected)}


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(weighting='cosine'), r"weighting='cosine', but .*\('exp', 'majority'\)"),
        (dict(k=0), 'k=0, but it must be one or several numbers >= 1'),
        (dict(k=(1, -20)), r'k=\(1, -20\), but it must be'),
        (dict(k=()), r'k=\(\), but it must be'),
        (dict(temperature=0), 'temperature=0, but it must be > 0'),
        (dict(temperature=float('nan')), 'temperature=nan, but it must be > 0'),
        (dict(features='head'), r"features='head', but .*\['backbone', 'neck'\]"),
    ],
)
def test_a_metric_that_cannot_be_is_refused(kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        KNNMetric(**kwargs)


def test_a_feature_metric_in_mmengines_own_loop_says_which_loop_it_needs() -> None:
    metric = METRICS.build(dict(type='KNNMetric'))
    assert isinstance(metric, FeatureMetric)
    with pytest.raises(RuntimeError, match=r"KNNMetric scores whole.*type='KNNLoop'"):
        metric.process({}, [])


# --- features ------------------------------------------------------------------------


def test_assemble_sorts_and_counts_each_sample_once() -> None:
    def part(*indices: int) -> Features:
        index = torch.tensor(indices)
        return Features(index[:, None].float() * torch.ones(3), index % 4, index)

    got = assemble([part(5, 2, 9), part(0, 7, 5), part(2)])
    assert got.index.tolist() == [0, 2, 5, 7, 9]
    assert got.feature.tolist() == [[float(i)] * 3 for i in (0, 2, 5, 7, 9)]
    assert got.label.tolist() == [0, 2, 1, 3, 1]


def test_assemble_gathers_uneven_shares(monkeypatch) -> None:
    """Two processes, 3 and 2 rows, of which one sample was served to both."""
    index = torch.tensor([4, 0, 2])
    own = Features(index[:, None].double().float(), index * 10, index)
    theirs = Features(
        torch.tensor([[1.0], [4.0]]), torch.tensor([10, 40]), torch.tensor([1, 4])
    )
    shares = iter(theirs)

    def all_gather(x: Tensor) -> list[Tensor]:
        if x.shape == (1,) and int(x) == 3:  # the number of rows
            return [x, torch.tensor([2])]
        other = next(shares)
        padding = other.new_full((len(x) - len(other), *other.shape[1:]), 99)
        return [x, torch.cat((other, padding))]

    monkeypatch.setattr(features, 'get_world_size', lambda: 2)
    monkeypatch.setattr(features, 'all_gather', all_gather)
    got = assemble([own])
    assert got.index.tolist() == [0, 1, 2, 4]
    assert got.label.tolist() == [0, 10, 20, 40]
    assert got.feature.tolist() == [[0.0], [1.0], [2.0], [4.0]]


def test_labels_and_indices_of_our_batches() -> None:
    data = dict(gt_label=torch.tensor([3, 1]), sample_idx=torch.tensor([8, 9]))
    label, index = labels_and_indices(data)
    assert (label.tolist(), index.tolist()) == ([3, 1], [8, 9])


def test_labels_and_indices_of_mmpretrains_batches() -> None:
    samples = [DataSample(metainfo=dict(sample_idx=i)).set_gt_label(i % 3) for i in (4, 8)]
    label, index = labels_and_indices(dict(data_samples=samples))
    assert (label.tolist(), index.tolist()) == ([1, 2], [4, 8])
    samples.insert(1, DataSample(metainfo=dict(sample_idx=5)))
    label, index = labels_and_indices(dict(data_samples=samples), labelled=False)
    assert (label.tolist(), index.tolist()) == ([1, -1, 2], [4, 5, 8])


@pytest.mark.parametrize('k', [1, 2, 20, 100, 150])
@pytest.mark.parametrize('columns', [150, 331, 2000, 4999])
def test_the_greatest_are_those_of_a_sort(k, columns) -> None:
    """As many levels of groups as there may be, and columns that fill no group."""
    scores = np.random.default_rng(k).permuted(np.tile(np.arange(columns), (5, 1)), axis=1)
    # the greatest are neighbours too: all in few groups, or one in each of the last columns
    scores[1], scores[2] = np.arange(columns), np.arange(columns)[::-1]
    values, places = greatest(torch.from_numpy(scores).float(), k)
    assert places.tolist() == np.argsort(-scores, axis=1)[:, :k].tolist()
    assert values.tolist() == (-np.sort(-scores, axis=1)[:, :k]).tolist()


def test_of_equal_scores_as_many_are_found_as_there_are() -> None:
    scores = torch.randint(0, 5, (30, 1003)).float()
    scores[0] = 1.0
    values, places = greatest(scores, 40)
    assert torch.equal(values, scores.sort(dim=1, descending=True).values[:, :40])
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == 40 for row in places.tolist())  # none is there twice


def test_what_is_not_finite_is_ordered_as_by_topk() -> None:
    scores = torch.randn(4, 999)
    scores[0, 500], scores[1, 998], scores[2, :], scores[3, 7] = (
        math.nan,
        math.inf,
        math.nan,
        -math.inf,
    )
    torch.testing.assert_close(
        greatest(scores, 9)[0], scores.topk(9, dim=1).values, rtol=0, atol=0, equal_nan=True
    )


def test_neighbours_are_those_of_faiss() -> None:
    faiss = pytest.importorskip('faiss', reason='faiss-cpu is not installed')
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(700, 24, generator=generator)
    query = torch.randn(150, 24, generator=generator)
    index = faiss.IndexFlatIP(24)
    index.add(F.normalize(bank, dim=1).numpy())
    similarity, neighbour = index.search(F.normalize(query, dim=1).numpy(), 20)
    ours = [torch.cat(parts) for parts in zip(*nearest(query, bank, 20, 64), strict=True)]
    assert 700 // 8 >= 2 * 20, 'too few columns for groups'
    torch.testing.assert_close(ours[0], torch.from_numpy(similarity))
    assert ours[1].tolist() == neighbour.tolist()


@pytest.mark.parametrize(
    'data',
    [
        dict(inputs=None),
        dict(data_samples=[DataSample(metainfo=dict(sample_idx=1))]),
        dict(data_samples=[DataSample().set_gt_label(1)]),
    ],
    ids=['nothing', 'no label', 'no index'],
)
def test_a_batch_without_label_or_index_is_refused(data) -> None:
    message = r"needs a label and an index per sample .*dict\(type='PackImage'\)"
    with pytest.raises(ValueError, match=message):
        labels_and_indices(data)


def test_without_labels_an_index_is_still_needed() -> None:
    data = dict(data_samples=[DataSample().set_gt_label(1)])
    with pytest.raises(ValueError, match=r"needs an index per .*type='PackImage'\)$"):
        labels_and_indices(data, labelled=False)


def test_unlabelled_images_are_refused() -> None:
    data = dict(gt_label=torch.tensor([3, -1]), sample_idx=torch.tensor([8, 9]))
    with pytest.raises(ValueError, match=r'these images have none \(label -1\).*val_cfg'):
        labels_and_indices(data)


class Encoder(nn.Module):
    """As an mmpretrain self-supervised model: a backbone's maps and a neck."""

    def __init__(self, maps) -> None:
        super().__init__()
        self.maps, self.calls, self.training_flags = maps, 0, []

    def data_preprocessor(self, data: dict, training: bool) -> dict:
        self.training_flags.append(training)
        return data

    def forward(self, inputs: Tensor, mode: str) -> object:
        assert mode == 'tensor'
        self.calls += 1
        return self.maps(inputs)

    def neck(self, x: tuple) -> tuple:
        return (x[-1].mean(dim=(2, 3)) * 2,)


def test_extract_pools_the_last_map_and_runs_once() -> None:
    first, last = torch.randn(4, 8, 6, 6), torch.randn(4, 5, 3, 3, dtype=torch.bfloat16)
    model = Encoder(lambda _: (first, last))
    index = torch.arange(4)
    data = dict(inputs=torch.zeros(4), gt_label=index, sample_idx=index + 7)
    found = extract(model, data, ['backbone', 'neck'])
    assert found['neck'].index.tolist() == [7, 8, 9, 10]
    got = {source: features.feature for source, features in found.items()}
    assert got['backbone'].shape == got['neck'].shape == (4, 5)
    assert got['backbone'].dtype == got['neck'].dtype == torch.float32
    expected = last.float().mean(dim=(2, 3))
    torch.testing.assert_close(got['backbone'], expected, atol=0.02, rtol=0)
    torch.testing.assert_close(got['neck'], 2 * expected, atol=0.02, rtol=0)
    assert model.calls == 1
    assert model.training_flags == [False]


def test_of_a_necks_embeddings_the_first_is_taken() -> None:
    """LEWEL's and CGH's necks give the global embedding, then another."""
    model = Encoder(lambda _: (torch.ones(4, 5, 3, 3),))
    model.neck = lambda x: (x[-1].mean(dim=(2, 3)), torch.zeros(4, 7))
    data = dict(inputs=torch.zeros(4), sample_idx=torch.arange(4))
    got = extract(model, data, ['neck'], labelled=False)
    assert torch.equal(got['neck'].feature, torch.ones(4, 5))
    assert got['neck'].label.tolist() == [-1] * 4


def test_extract_builds_no_graph_and_takes_vectors_too() -> None:
    weight = torch.randn(4, 5, requires_grad=True)
    model = Encoder(lambda _: weight * 2)
    data = dict(inputs=torch.zeros(4), sample_idx=torch.arange(4))
    got = extract(model, data, ['backbone'], labelled=False)['backbone'].feature
    assert not got.requires_grad
    assert torch.equal(got, weight.detach() * 2)


def test_features_that_are_no_numbers_name_the_sample() -> None:
    x = torch.ones(3, 2)
    x[1, 0] = math.nan
    data = dict(inputs=torch.zeros(3), sample_idx=torch.tensor([4, 5, 6]))
    with pytest.raises(ValueError, match='sample 5 are not finite numbers: the weights'):
        extract(Encoder(lambda _: x), data, ['backbone'], labelled=False)
