"""Linear classifiers on frozen features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
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
    # without thrs=None a right answer whose score is not positive would not count
    found = Accuracy.calculate(scores, label, topk=topk, thrs=(None,))
    return {f'top{k}': float(rows[0]) for k, rows in zip(topk, found, strict=True)}


@torch.no_grad()
def fit_linear(
    x: Float[Tensor, 'N D'],
    y: Int64[Tensor, ' N'],
    *,
    num_classes: int,
    lrs: Sequence[float],
    epochs: int,
    batch_size: int = 256,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    seed: int = 0,
) -> tuple[Float[Tensor, 'L D C'], Float[Tensor, 'L 1 C']]:
    """L softmax classifiers, one per learning rate, on the same batches.

    SGD on the cross entropy, a cosine to zero per step, from zero weights; the
    gradient is closed, so no graph is built.

    Args:
        x: Features; standardised ones suit any learning rate better.
        y: Their classes, in [0, num_classes).
        num_classes: C.
        lrs: The learning rates, L of them.
        epochs: Passes; the last batch of each is left out where it is not full.
        batch_size: Samples per step; all of them where there are fewer.
        momentum: Of SGD, as torch has it.
        weight_decay: On weights and biases.
        seed: Of the order.

    Returns:
        Weights and biases: scores are `x @ weight + bias`.
    """
    batch_size = min(batch_size, len(x))
    steps_per_epoch = len(x) // batch_size
    generator = torch.Generator().manual_seed(seed)
    rate = torch.tensor(lrs, dtype=x.dtype, device=x.device).view(-1, 1, 1)
    weight = x.new_zeros(len(lrs), x.shape[1], num_classes)
    bias = x.new_zeros(len(lrs), 1, num_classes)
    speeds = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=generator).to(x.device)
        for step, rows in enumerate(order.split(batch_size)[:steps_per_epoch]):
            error = (x[rows] @ weight + bias).softmax(dim=2)  # (L, B, C)
            error[:, torch.arange(len(rows), device=x.device), y[rows]] -= 1
            error /= len(rows)
            gradients = x[rows].T @ error, error.sum(dim=1, keepdim=True)
            progress = (epoch * steps_per_epoch + step) / (epochs * steps_per_epoch)
            now = rate * (1 + math.cos(math.pi * progress)) / 2
            for p, g, v in zip((weight, bias), gradients, speeds, strict=True):
                v.mul_(momentum).add_(g).add_(p, alpha=weight_decay)
                p.sub_(now * v)
    return weight, bias


@METRICS.register_module()
class LinearMetric(FeatureMetric):
    """Linear classification of *cached* features: no augmentation.

    A softmax classifier is fitted to the bank's standardised features at several
    learning rates in one pass; the best on every tenth of the bank, held out, is
    fitted to all of it and scores the queries. Reports `linear_cached/top1`,
    `linear_cached/top5` (per cent) and `linear_cached/lr`. The papers' augmented
    protocols are configs of their own, in configs/benchmarks.

    Args:
        lrs: Learning rates to choose from, for batches of 256.
        epochs: Passes.
        weight_decay: Of the classifier.
        features: As of `FeatureMetric`.
        prefix: Of the names. None: 'linear_cached', or 'linear_cached_neck'.
    """

    def __init__(
        self,
        *,
        lrs: Sequence[float] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        epochs: int = 100,
        weight_decay: float = 0.0,
        features: str = 'backbone',
        prefix: str | None = None,
    ) -> None:
        if not lrs or min(lrs) <= 0 or epochs < 1:
            raise ValueError(
                f'lrs={lrs}, epochs={epochs}, but there must be a positive learning rate '
                'and at least one epoch'
            )
        if prefix is None:
            prefix = 'linear_cached' + ('' if features == 'backbone' else f'_{features}')
        super().__init__(features=features, prefix=prefix)
        self.lrs, self.epochs, self.weight_decay = tuple(lrs), epochs, weight_decay

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        if len(bank.label) < 20:
            raise ValueError(
                f'a linear probe fits nine tenths of the bank and chooses its learning '
                f'rate on the rest; {len(bank.label)} samples are too few, give 20 or more'
            )
        mean, std = bank.feature.mean(dim=0), bank.feature.std(dim=0).clamp(min=1e-6)
        x, x_query = ((f.feature - mean) / std for f in (bank, query))
        held_out = torch.arange(len(x), device=x.device) % 10 == 9
        how: dict = dict(
            num_classes=int(max(bank.label.max(), query.label.max())) + 1,
            epochs=self.epochs,
            weight_decay=self.weight_decay,
        )
        weight, bias = fit_linear(x[~held_out], bank.label[~held_out], lrs=self.lrs, **how)
        guess = (x[held_out] @ weight + bias).argmax(dim=2)  # (L, held out)
        right = (guess == bank.label[held_out]).float().mean(dim=1)
        lr = self.lrs[int(right.argmax())]
        weight, bias = fit_linear(x, bank.label, lrs=[lr], **how)
        return accuracies(x_query @ weight[0] + bias[0], query.label) | dict(lr=lr)


@METRICS.register_module()
class OnlineProbeMetric(FeatureMetric):
    """Accuracy of the classifier `OnlineProbeHook` trains beside the encoder.

    `online/top1` and `online/top5`, per cent, of the queries' backbone features. The
    hook hands its probe over; it trains one only where the evaluator has this metric.
    Without a probe, before training or of a checkpoint that has none, nothing is
    reported.
    """

    needs_bank = False
    probe: LinearProbe | None = None

    def __init__(self, *, prefix: str = 'online') -> None:
        super().__init__(features='backbone', prefix=prefix)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        if self.probe is None:
            return {}
        return accuracies(self.probe(query.feature), query.label)
