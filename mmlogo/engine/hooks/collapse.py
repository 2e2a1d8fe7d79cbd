"""Is the run collapsing? Measured while it trains, by crop type."""

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
MAX_UPDATE = 5  # per cent of the last layer's norm, in one step


class CollapseError(RuntimeError):
    """A run was stopped because its embeddings had collapsed."""


@HOOKS.register_module()
class CollapseHook(Hook):
    """Log how much of their space the embeddings of global and local crops use.

    Every `interval` steps the neck's embeddings of the step's own views are taken
    in evaluation mode and without gradient; the run is left as it would have been.
    Models without a neck, or with one view, are passed over.
    Logged as `collapse/MEASURE/ROLE`:

    - std_ratio, mean_cosine, rank_me, alpha_req (`mmlogo.evaluation.spectrum`) and
      rank_share, RankMe in per cent of the dimensions (of the images, if fewer), of
      the first 'global' and of the first 'local' view of every image, and of the
      centred features of the 'backbone';
    - mean_cosine, alignment (the cosine of two views of *one* image) and top1 (how
      often a local view is nearest to its own image's global one, per cent) of
      'local_to_global' or, without local views, 'global_to_global';
    - constant, the channels that are alike for all images, and update, the change of
      the last layer by the step, in per cent, of the 'backbone'.

    Where they say collapse `patience` times in a row, a warning names what was seen
    and the likely cause; with `stop=True` the run ends with it.

    Args:
        interval: Steps between measurements.
        images: Measured at a time, of all processes, at most.
        patience: Bad measurements in a row before the alarm.
        min_std_ratio: Below it embeddings are nearly one vector.
        min_rank_share: Below it few directions are left, per cent.
        stop: End the run at the alarm.

    Raises:
        CollapseError: At the alarm, if `stop`.
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
        self.before: Tensor | None = None  # the last layer before a measured step

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
        seen = look(model, views[:num_globals], views[num_globals:], self.images)
        change = last_layer(model) - before
        seen['update/backbone'] = 100 * (change.norm() / before.norm()).item()
        # an exponent through nothing is infinite, which JSON has no word for
        scalars = {f'collapse/{k}': v for k, v in seen.items() if math.isfinite(v)}
        runner.visualizer.add_scalars(
            dict(scalars, epoch=runner.epoch + 1), step=runner.iter + 1
        )
        self.warn(runner, seen)

    def warn(self, runner, seen: Mapping[str, float]) -> None:
        """The alarm, once for each time a finding lasts."""
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
    """The last weight matrix of the backbone."""
    return [p.detach() for p in model.backbone.parameters() if p.ndim > 1][-1]


@torch.no_grad()
def look(
    model: Any,
    global_views: Sequence[Tensor],
    local_views: Sequence[Tensor],
    images: int = 512,
) -> dict[str, float]:
    """Measures by 'MEASURE/ROLE', of at most `images` of the batches of all processes.

    Args:
        model: A self-supervised model with `backbone` and `neck`, unwrapped.
        global_views: G x (N, 3, S, S), at least two where there are no local ones.
        local_views: M x (N, 3, S', S').
        images: How many images.
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
        return {'std_ratio/global': math.nan}  # no spectrum to measure
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
    """`MEASURES` of N samples (N, D), and RankMe in per cent of what it could be."""
    seen = {f'{name}/{role}': measure(x) for name, measure in MEASURES.items()}
    share = 100 * seen[f'rank_me/{role}'] / min(x.shape)
    return seen | {f'rank_share/{role}': share}


def pair_measures(z: Tensor, z_global: Tensor, role: str) -> dict[str, float]:
    """Of two views of N images, (N, D) each: one image's pairs against all others."""
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
    """Inside, the parts are in evaluation mode."""
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
    """Findings in words, with the likely cause; none where all is well.

    Args:
        seen: From `look`.
        min_std_ratio: As of `CollapseHook`.
        min_rank_share: As of `CollapseHook`.
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
    """The first cause that fits what was seen."""
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
