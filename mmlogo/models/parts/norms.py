"""BatchNorm in parts of a batch, and across the processes of a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.modules.batchnorm import _BatchNorm

from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS


@MODELS.register_module('SplitBN')
class SplitBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over `num_splits` parts of the batch, as over so many processes.

    It is from MoCo's CIFAR-10 demo. Sample n belongs to part n mod num_splits, as
    `EpochSampler` deals samples to ranks. Running statistics follow the mean over the
    parts. In evaluation it is plain BatchNorm. The output has the input's memory format.

    Args:
        num_features: Number of channels.
        num_splits: Number of parts, each of at least two samples. Default: 8.
        kwargs: Other arguments of torch's `BatchNorm2d`.

    Raises:
        ValueError: If a training batch cannot be divided into such parts.
    """

    def __init__(self, num_features: int, num_splits: int = 8, **kwargs) -> None:
        super().__init__(num_features, **kwargs)
        self.num_splits = num_splits

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        n, c, *grid = x.shape
        splits = self.num_splits
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        if n % splits or n // splits < 2:
            raise ValueError(
                f'split BN: a batch of {n} cannot be divided into {splits} parts of at '
                'least 2 samples; change the batch size or norm_cfg.num_splits'
            )
        mean, var, weight, bias = (
            None if value is None else value.repeat(splits)
            for value in (self.running_mean, self.running_var, self.weight, self.bias)
        )
        if last:
            # The parts side by side in channels_last. `reshape` gives the other format.
            x = x.movedim(1, -1).unflatten(0, (n // splits, splits))  # (n/s, s, H, W, C)
            x = x.movedim(1, 3).flatten(3).movedim(-1, 1)  # (n/s, s C, H, W)
        else:
            x = x.reshape(n // splits, splits * c, *grid)
        x = F.batch_norm(
            x,
            mean,
            var,
            weight,
            bias,
            training=True,
            momentum=_momentum(self),
            eps=self.eps,
        )
        if mean is not None and var is not None:
            _advance(self, mean.view(splits, c).mean(0), var.view(splits, c).mean(0), 1.0)
        if last:
            x = x.movedim(1, -1).unflatten(-1, (splits, c))  # (n/s, H, W, s, C)
            return x.movedim(3, 1).flatten(0, 1).movedim(-1, 1)  # (N, C, H, W)
        return x.reshape(n, c, *grid)


class AllReduceBN(_BatchNorm):
    """BatchNorm over the batches of all processes, on any device.

    torch's SyncBatchNorm refuses CPU tensors once a process group exists. This one reduces
    sums with a differentiable all-reduce. It reduces means first and then deviations from
    them, because a difference of large sums would lose digits of the variance.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f'expected (N, C, ...), got {tuple(x.shape)}')

    def forward(self, x: Tensor) -> Tensor:
        self._check_input_dim(x)
        if not self.training or get_dist_info()[1] == 1:
            return super().forward(x)
        dims = [0, *range(2, x.ndim)]
        wide = at_least_float32(x)
        count = wide.new_tensor([x.numel() / x.shape[1]])
        total = all_reduce(torch.cat((wide.sum(dims), count)))
        count, mean = total[-1].detach(), total[:-1] / total[-1].detach()
        centred = wide - self._channels(mean, x)
        var = all_reduce(centred.square().sum(dims)) / count
        if self.track_running_stats:
            _advance(self, mean, var * count / (count - 1), _momentum(self))
        y = centred * self._channels((var + self.eps).rsqrt(), x)
        if self.affine:
            y = y * self._channels(self.weight, x) + self._channels(self.bias, x)
        return y.to(x.dtype)

    @staticmethod
    def _channels(values: Tensor, like: Tensor) -> Tensor:
        return values.view(1, -1, *[1] * (like.ndim - 2))


def _momentum(norm: _BatchNorm) -> float:
    """Return the weight of this batch's statistics.

    Momentum None is torch's cumulative mean, whose weight is 1 / batches.
    """
    if norm.momentum is not None:
        return norm.momentum
    assert norm.num_batches_tracked is not None
    return 1 / (int(norm.num_batches_tracked) + 1)


@torch.no_grad()
def _advance(norm: _BatchNorm, mean: Tensor, var: Tensor, weight: float) -> None:
    """Move the running statistics by `weight` towards the given ones."""
    assert norm.num_batches_tracked is not None
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean, weight)
    norm.running_var.lerp_(var, weight)


def replace_sync_bn(module: nn.Module) -> nn.Module:
    """Replace every SyncBatchNorm of torch in `module` by `AllReduceBN`."""
    if isinstance(module, nn.SyncBatchNorm):
        new = AllReduceBN(
            module.num_features,
            module.eps,
            module.momentum,
            module.affine,
            module.track_running_stats,
        ).train(module.training)
        # The tensors are shared, not copied, because an optimiser may hold them already.
        new._parameters, new._buffers = module._parameters, module._buffers
        return new
    for name, child in module.named_children():
        setattr(module, name, replace_sync_bn(child))
    return module
