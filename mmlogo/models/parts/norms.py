"""BatchNorm in parts of a batch, and across the processes of a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.dist import get_dist_info
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from mmlogo.models.parts.precision import at_least_float32
from mmlogo.registry import MODELS


@MODELS.register_module('SplitBN')
class SplitBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm over `num_splits` parts of the batch, as over so many processes.

    MoCo's CIFAR-10 demo. Sample n is of part n mod num_splits, as `EpochSampler`
    deals samples to ranks. Running statistics follow the mean of the parts'. In
    evaluation it is BatchNorm.

    Args:
        num_features: Channels.
        num_splits: Parts, each of at least two samples.

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
        if n % splits or n // splits < 2:
            raise ValueError(
                f'split BN: a batch of {n} cannot be divided into {splits} parts of at '
                'least 2 samples; change the batch size or norm_cfg.num_splits'
            )
        mean, var = (
            None if stat is None else stat.repeat(splits)
            for stat in (self.running_mean, self.running_var)
        )
        x = F.batch_norm(
            x.reshape(n // splits, splits * c, *grid),
            mean,
            var,
            *(None if p is None else p.repeat(splits) for p in (self.weight, self.bias)),
            training=True,
            momentum=self.momentum,
            eps=self.eps,
        )
        if self.track_running_stats:
            self.num_batches_tracked.add_(1)
            self.running_mean.copy_(mean.view(splits, c).mean(0))
            self.running_var.copy_(var.view(splits, c).mean(0))
        return x.reshape(n, c, *grid)


class AllReduceBN(nn.modules.batchnorm._BatchNorm):
    """BatchNorm over the batches of all processes, on any device.

    torch's SyncBatchNorm refuses CPU tensors once a process group exists. This
    one reduces sums with a differentiable all-reduce, means first, so that
    variances do not cancel.
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
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
        y = centred * self._channels((var + self.eps).rsqrt(), x)
        if self.affine:
            y = y * self._channels(self.weight, x) + self._channels(self.bias, x)
        return y.to(x.dtype)

    @staticmethod
    def _channels(values: Tensor, like: Tensor) -> Tensor:
        return values.view(1, -1, *[1] * (like.ndim - 2))


def replace_sync_bn(module: nn.Module) -> nn.Module:
    """Every torch SyncBatchNorm in `module`, replaced by `AllReduceBN`."""
    if isinstance(module, nn.SyncBatchNorm):
        new = AllReduceBN(
            module.num_features,
            module.eps,
            module.momentum,
            module.affine,
            module.track_running_stats,
        ).train(module.training)
        # the same tensors, not copies: an optimiser may hold them already
        new._parameters, new._buffers = module._parameters, module._buffers
        return new
    for name, child in module.named_children():
        setattr(module, name, replace_sync_bn(child))
    return module


@contextmanager
def running_statistics(*modules: nn.Module, follow: bool) -> Iterator[None]:
    """Inside, BatchNorm's running statistics follow the batches, or stay."""
    norms = [
        m
        for module in modules
        for m in module.modules()
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and not follow
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
