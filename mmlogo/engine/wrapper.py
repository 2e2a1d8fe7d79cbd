"""Data-parallel training on any device."""

from __future__ import annotations

from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmlogo.models.parts.norms import replace_sync_bn
from mmlogo.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class AnyDeviceDataParallel(MMDistributedDataParallel):
    """MMEngine's wrapper, which on a CPU drops CUDA's device ids.

    There it also puts `AllReduceBN` in the place of torch's SyncBatchNorm, which
    refuses CPU tensors.
    """

    def __init__(
        self,
        module: nn.Module,
        device_ids: list[int] | None = None,
        broadcast_buffers: bool = False,
        **kwargs,
    ) -> None:
        if next(module.parameters()).device.type == 'cpu':
            device_ids, module = None, replace_sync_bn(module)
        super().__init__(
            module, device_ids=device_ids, broadcast_buffers=broadcast_buffers, **kwargs
        )
