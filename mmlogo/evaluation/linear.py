"""Linear classifiers on frozen features."""

from __future__ import annotations

from jaxtyping import Float
from mmpretrain.evaluation.metrics import Accuracy
from torch import Tensor, nn

from mmlogo.evaluation.features import Features
from mmlogo.evaluation.metric import FeatureMetric
from mmlogo.models.parts.norms import AllReduceBN
from mmlogo.registry import METRICS


class LinearProbe(nn.Sequential):
    """Standardised features to class scores: (N, D) to (N, C).

    Standardised by BatchNorm without affine, so that one learning rate suits any
    encoder (MAE, arXiv 2111.06377, section A.1); over all processes in training.

    Args:
        dim: D.
        num_classes: C.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__(
            AllReduceBN(dim, affine=False, eps=1e-6), nn.Linear(dim, num_classes)
        )
        for parameter in self[1].parameters():
            nn.init.zeros_(parameter)


def accuracies(scores: Float[Tensor, 'N C'], label: Tensor) -> dict[str, float]:
    """`top1` and, where there are more than five classes, `top5`, per cent."""
    topk = tuple(k for k in (1, 5) if k < max(2, scores.shape[1]))
    found = Accuracy.calculate(scores, label, topk=topk)
    return {f'top{k}': float(rows[0]) for k, rows in zip(topk, found, strict=True)}


@METRICS.register_module()
class OnlineProbeMetric(FeatureMetric):
    """Accuracy of the classifier `OnlineProbeHook` trains beside the encoder.

    `online/top1` and `online/top5`, per cent, of the queries' backbone features. The
    hook hands its probe over; it trains one only where the evaluator has this metric.
    Without a probe (a checkpoint that has none) nothing is reported, with a warning.
    """

    probe: LinearProbe | None = None

    def __init__(self, *, prefix: str = 'online') -> None:
        super().__init__(features='backbone', prefix=prefix)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        if self.probe is None:
            return {}
        return accuracies(self.probe(query.feature), query.label)
