"""A metric that keeps features, to write them to a file or to draw them."""

from __future__ import annotations

from mmlogo.evaluation.features import Features
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS


@METRICS.register_module()
class KeepFeatures(FeatureMetric):
    """Keep the features of the queries of all processes in the attribute `kept`.

    The metric reports the number of samples and of dimensions. It needs neither a bank
    nor labels.
    """

    needs_bank = False
    needs_labels = False
    kept: Features | None = None

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        self.kept = query
        return dict(samples=len(query.index), dimensions=query.feature[0].numel())
