"""A hook that measures, while a run trains, whether its embeddings collapse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmlogo.engine.unwrap import unwrapped
from mmlogo.evaluation.features import pooled
from mmlogo.evaluation.spectrum import MEASURES
from mmlogo.models.parts.gather import gather_batch
from mmlogo.registry import HOOKS

SEEN = {
    'global': 'embeddings of global crops',
    'local': 'embeddings of local crops',
    'backbone': "backbone's centred features",
}
MAX_UPDATE = 5  # change of the last layer in one step, per cent of its norm


class CollapseError(RuntimeError):
    """A run was stopped because its embeddings had collapsed."""


@HOOKS.register_module()
class CollapseHook(Hook):
    """Log how much of their space the embeddings of global and local crops use.

    Every `interval` steps the hook computes embeddings of that step's views, in evaluation
    mode and without gradient. The hook does not change the training result. It does
    nothing for models without a neck or with one view per image.

    It logs measures as `collapse/MEASURE/ROLE`:

    - std_ratio, mean_cosine, rank_me and alpha_req are those of
      `mmlogo.evaluation.spectrum`. rank_share is RankMe in per cent of its maximum, the
      number of dimensions or, if smaller, of images. Their roles are 'global' and
      'local', the first view of that kind of every image, and 'backbone', the centred
      features of the global views.
    - alignment is the mean cosine of two views of *one* image, mean_cosine that of views
      of different images. top1 is how often a view is nearest to the global view of its
      own image, per cent. Their role is 'local_to_global' or, without local views,
      'global_to_global'.
    - constant is the share of channels that are the same for all images. update is the
      change of the last layer's weights in the step. Both are per cent, and their role
      is 'backbone'.

    If measures show collapse `patience` times in a row, a warning says what was seen and
    names the likely cause. With `stop=True` the run ends.

    Args:
        interval: Steps between two measurements, >= 1. Default: 200.
        images: Largest number of images in a measurement, over all processes. Default:
            512.
        patience: Number of bad measurements in a row before the warning, >= 1. Default: 5.
        min_std_ratio: If std_ratio is below this, embeddings are nearly one vector, and
            the measurement is bad. Default: 0.1.
        min_rank_share: If rank_share is below this, embeddings have few directions, and
            the measurement is bad. Per cent. Default: 5.
        stop: With True, raise an error after the warning. Default: False.

    Raises:
        ValueError: If `interval` or `patience` is below 1.
        CollapseError: In training, if `stop` is True and the embeddings collapse.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        *,
        interval: int = 200,
        images: int = 512,
        patience: int = 5,
        min_std_ratio: float = 0.1,
        min_rank_share: float = 5.0,
        stop: bool = False,
    ) -> None:
        if interval < 1 or patience < 1:
            raise ValueError(
                f'interval={interval}, patience={patience}, but both must be >= 1; to '
                'switch the hook off, set default_hooks.collapse=None'
            )
        self.interval, self.images, self.patience = interval, images, patience
        self.min_std_ratio, self.min_rank_share = min_std_ratio, min_rank_share
        self.stop = stop
        self.in_a_row: Counter[str] = Counter()
        self.passed_over = False
        self.before: Tensor | None = None  # last layer before a measured step

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        if (runner.iter + 1) % self.interval == 0:
            self.before = last_layer(unwrapped(runner.model)).clone()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        if self.before is None:
            return
        model, before = unwrapped(runner.model), self.before
        self.before = None
        views = model.data_preprocessor(data_batch, True)['inputs']
        if isinstance(views, Tensor) or len(views) < 2 or not hasattr(model, 'neck'):
            if not self.passed_over:
                runner.logger.info(
                    'No watch over collapse: it needs two views of an image and a neck'
                )
            self.passed_over = True
            return
        num_globals = getattr(model.data_preprocessor, 'num_globals', len(views))
        seen = measure(model, views[:num_globals], views[num_globals:], self.images)
        change = last_layer(model) - before
        seen['update/backbone'] = 100 * (change.norm() / before.norm()).item()
        # alpha_req is infinite if nothing can be fitted, and JSON has no infinity.
        scalars = {f'collapse/{k}': v for k, v in seen.items() if math.isfinite(v)}
        runner.visualizer.add_scalars(
            dict(scalars, epoch=runner.epoch + 1), step=runner.iter + 1
        )
        self.warn(runner, seen)

    def warn(self, runner, seen: Mapping[str, float]) -> None:
        """Warn if a finding has lasted for `patience` measurements.

        A finding that lasts longer is not repeated.

        Raises:
            CollapseError: After the warning, if `stop` is True.
        """
        found = diagnose(seen, self.min_std_ratio, self.min_rank_share)
        self.in_a_row = Counter({name: self.in_a_row[name] + 1 for name in found})
        for name, text in found.items():
            if self.in_a_row[name] == self.patience:
                text = (
                    f'COLLAPSE: {text} (step {runner.iter + 1}, {self.patience} '
                    f'measurements in a row, {self.interval} steps apart).'
                )
                runner.logger.warning(text)
                if self.stop:
                    raise CollapseError(text)


def last_layer(model: Any) -> Tensor:
    """Return the last weight matrix of the backbone."""
    return [p.detach() for p in model.backbone.parameters() if p.ndim > 1][-1]


@torch.no_grad()
def measure(
    model: Any,
    global_views: Sequence[Tensor],
    local_views: Sequence[Tensor],
    images: int = 512,
) -> dict[str, float]:
    """Measure how much of their space embeddings use, over the batches of all processes.

    Args:
        model: A self-supervised model with `backbone` and `neck`, unwrapped.
        global_views: G x (N, 3, S, S). Without local views, G must be at least 2.
        local_views: M x (N, 3, S', S').
        images: Number of images over all processes, at most. Every process measures at
            least two. Default: 512.

    Returns:
        Values by 'MEASURE/ROLE'. If an embedding is not finite, only
        'std_ratio/global', which is then nan.
    """
    share = max(2, images // get_dist_info()[1])
    second = 'local' if local_views else 'second'
    views = {'global': global_views[0], second: (*local_views, *global_views[1:])[0]}
    z, h = {}, {}
    with evaluating(model.backbone, model.neck):
        for role, view in views.items():
            maps = model.backbone(view[:share])
            z[role] = gather_batch(pooled(model.neck(maps), 0))  # (N, D)
            h[role] = gather_batch(pooled(maps, -1))  # (N, C)
    if not all(x.isfinite().all() for x in (*z.values(), *h.values())):
        return {'std_ratio/global': math.nan}  # there is no spectrum to measure
    pair = f'{"local" if local_views else "global"}_to_global'
    seen = pair_measures(z[second], z['global'], pair)
    for role in ('global', 'local'):
        if role in z:
            seen |= spread(z[role], role)
    h_global = h['global']
    alike = h_global.std(dim=0) <= 1e-4 * h_global.abs().mean()
    return seen | {
        **spread(h_global - h_global.mean(dim=0), 'backbone'),
        'constant/backbone': 100 * alike.float().mean().item(),
    }


def spread(x: Tensor, role: str) -> dict[str, float]:
    """Return `MEASURES` of N samples (N, D), and RankMe in per cent of its maximum."""
    seen = {f'{name}/{role}': function(x) for name, function in MEASURES.items()}
    share = 100 * seen[f'rank_me/{role}'] / min(x.shape)
    return seen | {f'rank_share/{role}': share}


def pair_measures(z: Tensor, z_global: Tensor, role: str) -> dict[str, float]:
    """Compare pairs of one image with pairs of two, for two views (N, D) of N images."""
    cosine = F.normalize(z, dim=1) @ F.normalize(z_global, dim=1).T  # (N, N)
    n, same = len(cosine), cosine.diagonal()
    found = cosine.argmax(dim=1) == torch.arange(n, device=z.device)
    return {
        f'alignment/{role}': same.mean().item(),
        f'mean_cosine/{role}': ((cosine.sum() - same.sum()) / (n * (n - 1))).item(),
        f'top1/{role}': 100 * found.float().mean().item(),
    }


@contextmanager
def evaluating(*parts: nn.Module) -> Iterator[None]:
    """Context manager. The parts are in evaluation mode inside it."""
    were = [part.training for part in parts]
    for part in parts:
        part.eval()
    try:
        yield
    finally:
        for part, training in zip(parts, were, strict=True):
            part.train(training)


def diagnose(
    seen: Mapping[str, float], min_std_ratio: float, min_rank_share: float
) -> dict[str, str]:
    """Return findings in words, with their likely cause. A healthy run has none.

    Args:
        seen: Values by 'MEASURE/ROLE', from `measure`. It needs 'update/backbone' too,
            which `CollapseHook` adds.
        min_std_ratio: If std_ratio is below this, embeddings are nearly one vector.
        min_rank_share: If rank_share is below this, embeddings have few directions. Per
            cent.
    """
    if math.isnan(seen['std_ratio/global']):
        return dict(
            numbers='the embeddings are not finite. The learning rate is too high, or '
            'float16 overflowed: lower optim_wrapper.optimizer.lr, add a warm-up, or '
            'use bfloat16'
        )
    found = {}
    for role, what in SEEN.items():
        ratio = seen.get(f'std_ratio/{role}', 1.0)
        share = seen.get(f'rank_share/{role}', 100.0)
        if ratio < min_std_ratio:
            found[role] = (
                f'the {what} are nearly one vector: their standard deviation is '
                f'{ratio:.3f} of an even spread, their mean cosine '
                f'{seen[f"mean_cosine/{role}"]:.3f}. '
            )
        elif share < min_rank_share:
            found[role] = (
                f'the {what} lie in {seen[f"rank_me/{role}"]:.1f} directions (RankMe), '
                f'{share:.1f} % of what there could be. '
            )
    cause = likely_cause(seen, found)
    return {name: text + cause for name, text in found.items()}


def likely_cause(seen: Mapping[str, float], found: Mapping[str, str]) -> str:
    """Return the first cause that fits the values."""
    if seen['update/backbone'] > MAX_UPDATE or seen['constant/backbone'] > 50:
        return (
            f'A step changes the last layer by {seen["update/backbone"]:.2g} % of its '
            f'norm (healthy: well below {MAX_UPDATE} %) and '
            f'{seen["constant/backbone"]:.0f} % of the channels are the same for every '
            'image. Likely cause: the learning rate is too high; lower '
            'optim_wrapper.optimizer.lr or add a warm-up'
        )
    if set(found) == {'local'}:
        return (
            'The global crops are well. Likely cause: local crops too small to tell '
            'anything; raise the scale or size of the local views'
        )
    aligned = next(value for name, value in seen.items() if name.startswith('alignment/'))
    return (
        f'Views of one image agree to {aligned:.2f}, whatever the image. Likely cause: '
        'nothing holds different images apart: check that the targets carry no '
        'gradient, that the predictor is there and not held back by its learning rate '
        "or weight decay, that the teacher's momentum is not too small; or lower the "
        'learning rate'
    )
