"""Metrics of the features of a labelled bank and of labelled queries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from mmlogo.evaluation.features import SOURCES, Features, Source


class FeatureMetric(BaseMetric):
    """What `KNNLoop` feeds: the whole bank and all queries at once.

    Every process holds the same gathered features and must return the same number;
    a subclass may compute it everywhere, or a share on each process and reduce.

    Args:
        features: What it is fed: 'backbone', globally averaged, or 'neck'; or a
            function of its own of an `EvaluationBatch`. Metrics with equal ones share
            the features.
        prefix: Of the names of its scalars.
    """

    needs_bank = True
    needs_labels = True

    def __init__(
        self, *, features: str | Source = 'backbone', prefix: str | None = None
    ) -> None:
        if not callable(features) and features not in SOURCES:
            raise ValueError(f'features={features!r}, but it must be one of {[*SOURCES]}')
        super().__init__(prefix=prefix)
        self.features = features

    @abstractmethod
    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        """Scalars by name, without the prefix. The bank is empty unless `needs_bank`."""

    def score(self, bank: Features, query: Features) -> dict[str, float]:
        """Scalars by name, with the prefix."""
        scores = self.compute(bank, query)
        if self.prefix:
            scores = {f'{self.prefix}/{name}': value for name, value in scores.items()}
        return scores

    def process(self, data_batch: object, data_samples: Sequence) -> None:
        raise RuntimeError(
            f'{type(self).__name__} scores whole feature sets; use it with '
            "val_cfg = dict(type='KNNLoop', ...)"
        )

    def compute_metrics(self, results: list) -> dict:
        self.process(None, results)
        return {}
