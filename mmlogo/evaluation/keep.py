"""Features kept, to be written to a file or drawn."""

from __future__ import annotations

from mmlogo.evaluation.features import Features
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.registry import METRICS


@METRICS.register_module()
class KeepFeatures(FeatureMetric):
    """Keep the features of the queries, of all processes: `kept`.

    Reports how many there are and of how many dimensions. Needs neither a bank nor
    labels.
    """

    needs_bank = False
    needs_labels = False
    kept: Features | None = None

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        self.kept = query
        return dict(samples=len(query.index), dimensions=query.feature[0].numel())
