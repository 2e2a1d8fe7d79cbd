"""Learning rate schedules that MMEngine does not have."""

from __future__ import annotations

from mmengine.optim import LinearLR

from mmlogo.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmUpLR(LinearLR):
    """Warm-up: at step k of the first W steps, the learning rate is lr (k + 1) / W.

    BYOL's and LEWEL's code warms up so. MMEngine's LinearLR needs its first factor, 1 / W,
    in the config. The config cannot know it if W depends on the length of an epoch.

    Args:
        optimizer: The optimiser, or its wrapper.
        end: Last step of the warm-up. With `convert_to_iter_based=True` it is in epochs.
            W is `end - begin`.
        begin: First step of the warm-up. Default: 0.
        kwargs: Other arguments of MMEngine's LinearLR.

    Raises:
        ValueError: If `end` is not larger than `begin`.
    """

    def __init__(self, optimizer, *, end: int, begin: int = 0, **kwargs) -> None:
        if end <= begin:
            raise ValueError(f'a warm-up from {begin} to {end} has no step; raise `end`')
        super().__init__(
            optimizer, start_factor=1 / (end - begin), begin=begin, end=end, **kwargs
        )
