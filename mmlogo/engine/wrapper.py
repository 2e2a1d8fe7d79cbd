"""A wrapper for data-parallel training on any device."""

from __future__ import annotations

from mmengine.model import MMDistributedDataParallel
from torch import nn

from mmlogo.models.parts.norms import replace_sync_bn
from mmlogo.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class AnyDeviceDataParallel(MMDistributedDataParallel):
    """MMEngine's data-parallel wrapper, made to work on a CPU too.

    On a CPU it ignores CUDA's device ids, and replaces torch's SyncBatchNorm, which
    refuses CPU tensors, by `AllReduceBN`.

    Args:
        module: The model.
        device_ids: CUDA devices, as in MMEngine. A CPU ignores them. Default: None.
        broadcast_buffers: Copy rank 0's buffers to all processes before every forward
            pass, as in torch. Default: False.
        kwargs: Other arguments of MMEngine's `MMDistributedDataParallel`.
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
