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
    """A linear classifier of standardised features: (N, D) to scores (N, C).

    BatchNorm without affine parameters standardises the features, so that one learning
    rate suits any encoder (MAE, arXiv 2111.06377, section A.1). In training it normalises
    over all processes.

    Args:
        dim: Dimensions D of the features.
        num_classes: Number C of classes.
    """

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__(
            AllReduceBN(dim, affine=False, eps=1e-6), nn.Linear(dim, num_classes)
        )
        for parameter in self[1].parameters():
            nn.init.zeros_(parameter)


def accuracies(scores: Float[Tensor, 'N C'], label: Tensor) -> dict[str, float]:
    """Return `top1`, and `top5` if there are more than five classes, per cent."""
    topk = tuple(k for k in (1, 5) if k < max(2, scores.shape[1]))
    # Without thrs=None, a correct class whose score is not positive would not count.
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
    """Fit L softmax classifiers, one per learning rate, to the same batches.

    SGD minimises the cross entropy, from zero weights. The learning rate falls to zero
    along a cosine, step by step. The gradient is computed in closed form, without
    autograd.

    Args:
        x: Features. Standardise them, so that the learning rates suit them.
        y: Classes of the samples, in [0, num_classes).
        num_classes: Number C of classes.
        lrs: The L learning rates.
        epochs: Number of passes. The last batch of a pass is left out if it is not full.
        batch_size: Samples per step. If there are fewer samples, a step takes all of
            them. Default: 256.
        momentum: SGD's momentum, in torch's form. Default: 0.9.
        weight_decay: Weight decay of weights and biases. Default: 0.
        seed: Seed of the samples' order. Default: 0.

    Returns:
        Weights and biases. Scores are `x @ weight + bias`.
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
    """Linear classification of *cached* features, without augmentation.

    A softmax classifier is fitted to the bank's standardised features, once per learning
    rate. Every tenth sample is held out, and the learning rate with the best accuracy on
    those samples is chosen. With it the classifier is fitted again, to the whole bank,
    and scores the queries. The metric reports `linear_cached/top1`, `linear_cached/top5`
    (per cent) and `linear_cached/lr`. The papers' protocols use augmentation. They are
    configs in configs/benchmarks.

    Args:
        lrs: Learning rates to choose from, for batches of 256. Default: (0.01, 0.03, 0.1,
            0.3, 1.0, 3.0).
        epochs: Number of passes over the bank. Default: 100.
        weight_decay: Weight decay of the classifier. Default: 0.
        features: Which features are scored: 'backbone', the default, or 'neck'.
        prefix: Prefix of the scalars' names. Default: None, which gives 'linear_cached'
            or 'linear_cached_neck'.

    Raises:
        ValueError: If `lrs` is empty or has a rate that is not positive, if `epochs` is
            below 1, or if the bank has fewer than 20 samples.
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
    """Accuracy of the classifier that `OnlineProbeHook` trains beside the encoder.

    The metric reports `online/top1` and `online/top5`, per cent, on the queries' backbone
    features. The hook trains a probe only if the evaluator has this metric, and gives the
    probe to it. Without a probe the metric reports nothing. So it is before training, and
    with a checkpoint that has no probe.

    Args:
        prefix: Prefix of the scalars' names. Default: 'online'.
    """

    needs_bank = False
    probe: LinearProbe | None = None

    def __init__(self, *, prefix: str = 'online') -> None:
        super().__init__(features='backbone', prefix=prefix)

    def compute(self, bank: Features, query: Features) -> dict[str, float]:
        if self.probe is None:
            return {}
        return accuracies(self.probe(query.feature), query.label)
