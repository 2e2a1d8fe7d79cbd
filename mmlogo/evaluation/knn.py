"""k-nearest-neighbour classification of frozen features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce, get_dist_info
from torch import Tensor

from mmlogo.evaluation.features import Features, Source
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS

WEIGHTINGS = ('exp', 'majority')


@torch.no_grad()
def knn_predict(
    query: Tensor,
    bank: Tensor,
    labels: Tensor,
    *,
    k: Sequence[int],
    num_classes: int,
    temperature: float = 0.07,
    weighting: str = 'exp',
    chunk: int | None = None,
) -> dict[int, Tensor]:
    """Predict the classes of queries by a vote of their nearest neighbours in the bank.

    Wu et al., arXiv 1805.01978, section 3.4. A neighbour with cosine similarity s votes
    for its class with weight exp(s / temperature), or with weight 1 for 'majority'.

    Args:
        query: Features (Q, D) of the queries.
        bank: Features (B, D) of the bank.
        labels: Labels (B,) of the bank, in [0, num_classes).
        k: Numbers of neighbours, each in [1, B].
        num_classes: Number of classes.
        temperature: Temperature of the 'exp' weighting, > 0. Default: 0.07.
        weighting: 'exp', the default, or 'majority'.
        chunk: Number of queries scored at a time. Default: None, which keeps the matrix
            of scores at about 256 MiB.

    Returns:
        Predicted classes (Q,) for every k. Of equal votes the lowest class wins.

    Raises:
        ValueError: If `weighting` is unknown or a k is out of its range.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f'weighting={weighting!r}, but it must be one of {WEIGHTINGS}')
    if max(k) > len(bank) or min(k) < 1:
        raise ValueError(
            f'k-NN with k={max(k)} needs a bank of at least that many samples, and at '
            f'least one; it has {len(bank)}; lower k or enlarge the bank'
        )
    predictions: dict[int, list[Tensor]] = {number: [] for number in k}
    for similarity, neighbour in nearest(query, bank, max(k), chunk):
        neighbour = labels[neighbour]  # (q, k)
        votes = torch.ones_like(similarity)
        if weighting == 'exp':
            # Relative to the nearest neighbour. The vote is the same, and exp cannot
            # overflow.
            votes = ((similarity - similarity[:, :1]) / temperature).exp()
        for number in k:
            tally = votes.new_zeros(len(votes), num_classes)
            tally.scatter_add_(1, neighbour[:, :number], votes[:, :number])
            predictions[number].append(tally.argmax(dim=1))
    return {number: torch.cat(parts) for number, parts in predictions.items()}


@torch.no_grad()
def nearest(
    query: Tensor, bank: Tensor, k: int, chunk: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Find the k nearest samples of the bank by cosine, nearest first.

    Args:
        query: Features (Q, D) of the queries.
        bank: Features (B, D) of the bank.
        k: Number of neighbours, at most B.
        chunk: Number q of queries scored at a time. Default: None, which is 512, or fewer
            if the matrix of scores would be larger than 256 MiB.

    Yields:
        Cosines (q, k) and rows of the bank (q, k), for `chunk` queries after another.
    """
    bank, query = F.normalize(bank.float(), dim=1), F.normalize(query.float(), dim=1)
    chunk = min(chunk or max(1, min(512, 2**26 // len(bank))), len(query))
    # One matrix for all chunks: the pages of a new one would be mapped for each.
    scores = query.new_empty(chunk, len(bank))
    # On a CPU the intermediate results of few rows stay in the cache.
    few = chunk if scores.is_cuda else 64
    for part in query.split(chunk):
        rows = torch.mm(part, bank.T, out=scores[: len(part)]).split(few)
        found = zip(*(greatest(row, k) for row in rows), strict=True)
        values, columns = (torch.cat(parts) for parts in found)
        yield values, columns


def greatest(scores: Tensor, k: int, *, ordered: bool = True) -> tuple[Tensor, Tensor]:
    """Find the k greatest scores of every row, as `scores.topk(k, dim=1)` does, but faster.

    The columns are divided into groups. The k greatest scores lie in the k groups with the
    greatest maxima, because outside of these there are k greater ones, their maxima. So
    only the scores in these groups are compared. Their maxima are compared in the same way.

    Args:
        scores: Scores (N, B).
        k: Number of scores, at most B.
        ordered: With True, the default, the greatest comes first.

    Returns:
        Scores (N, k) and their columns (N, k). Of equal scores any may be left out.
    """
    columns = scores.shape[1]
    size = 8 if k < 100 else 4  # of a group: the faster one on a CPU
    groups = columns // size
    if groups < 2 * k:
        return scores.topk(k, dim=1, sorted=ordered)
    whole = size * groups
    # Group g has the columns g, g + groups, g + 2 groups ...: maxima of rows, not columns.
    maxima = scores[:, :whole].unflatten(1, (size, groups)).amax(1)
    chosen = greatest(maxima, k, ordered=False)[1].unsqueeze(2)  # (N, k, 1)
    members = torch.arange(0, whole, groups, device=scores.device)
    candidates = (chosen + members).flatten(1)  # (N, size k)
    if whole < columns:  # those in no group
        rest = torch.arange(whole, columns, device=scores.device)
        candidates = torch.cat((candidates, rest.expand(len(scores), -1)), dim=1)
    values, places = scores.gather(1, candidates).topk(k, dim=1, sorted=ordered)
    return values, candidates.gather(1, places)


@METRICS.register_module()
class KNNMetric(FeatureMetric):
    """Top-1 accuracy of k-NN, per cent: `knn/top1_k20` and so on.

    Args:
        k: Number of neighbours, or several numbers, each >= 1. Default: (1, 20, 200).
        temperature: Temperature of the 'exp' weighting, > 0. Default: 0.07, the value of
            DINO and CGH.
        weighting: 'exp', the default, or 'majority'. `knn_predict` explains them.
        features: Which features are scored: 'backbone', the default, 'neck', or a
            function of an `EvaluationBatch`.
        prefix: Prefix of the scalars' names. Default: None, which names what differs from
            the defaults: 'knn', 'knn_t0.1', 'knn_majority', 'knn_neck_t0.1'.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        *,
        k: int | Sequence[int] = (1, 20, 200),
        temperature: float = 0.07,
        weighting: str = 'exp',
        features: str | Source = 'backbone',
        prefix: str | None = None,
    ) -> None:
        if weighting not in WEIGHTINGS:
            raise ValueError(f'weighting={weighting!r}, but it must be one of {WEIGHTINGS}')
        if not temperature > 0:
            raise ValueError(f'temperature={temperature}, but it must be > 0')
        self.k = (k,) if isinstance(k, int) else tuple(k)
        if not self.k or min(self.k) < 1:
            raise ValueError(f'k={k}, but it must be one or several numbers >= 1')
        if prefix is None:
            prefix = 'knn' if features == 'backbone' else f'knn_{features}'
            if weighting == 'majority':
                prefix += '_majority'
            elif not math.isclose(temperature, 0.07):
                prefix += f'_t{temperature:g}'
        super().__init__(features=features, prefix=prefix)
        self.temperature, self.weighting = temperature, weighting

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        rank, world_size = get_dist_info()
        share = slice(rank, None, world_size)  # the queries that this process scores
        predicted = knn_predict(
            query.feature[share],
            bank.feature,
            bank.label,
            k=self.k,
            num_classes=int(bank.label.max()) + 1,
            temperature=self.temperature,
            weighting=self.weighting,
        )
        correct = torch.stack(
            [(classes == query.label[share]).sum() for classes in predicted.values()]
        )
        all_reduce(correct)
        return {
            f'top1_k{k}': 100 * number / len(query.label)
            for k, number in zip(predicted, correct.tolist(), strict=True)
        }
