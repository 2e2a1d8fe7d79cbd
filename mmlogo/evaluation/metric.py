"""The base class of metrics that score the features of a bank and of queries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from mmengine.evaluator import BaseMetric

from mmlogo.evaluation.features import SOURCES, Features, Source


class FeatureMetric(BaseMetric):
    """Base class of the metrics of `KNNLoop`, which gives them all features at once.

    Every process has the same gathered features and must return the same scalars. A
    subclass may compute them on every process, or compute a share on each process and
    reduce.

    Args:
        features: Which features are scored: 'backbone', the default, the last stage
            globally averaged; 'neck'; or a function of an `EvaluationBatch`. Metrics with
            equal `features` share them.
        prefix: Prefix of the scalars' names. Default: None, no prefix.

    Raises:
        ValueError: If `features` is neither a function nor a name in `SOURCES`.
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
        self.uses_neck = features == 'neck'  # its BatchNorm is fitted then, too

    @abstractmethod
    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        """Return scalars by name, no prefix. Without `needs_bank` the bank is empty."""

    def score(self, bank: Features, query: Features) -> dict[str, float]:
        """Return scalars by name, with the prefix."""
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
