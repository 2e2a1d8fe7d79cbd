"""Learning rates over time, beyond MMEngine's."""

from __future__ import annotations

from mmengine.optim import LinearLR

from mmlogo.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class WarmUpLR(LinearLR):
    """lr (k + 1) / W at step k of the first W, as BYOL's and LEWEL's code warms up.

    MMEngine's LinearLR wants its first factor in the config, which cannot know W
    when the length of an epoch is not.

    Args:
        optimizer: As in LinearLR.
        end: W; in epochs with `convert_to_iter_based=True`.
        begin, kwargs: As in LinearLR.
    """

    def __init__(self, optimizer, *, end: int, begin: int = 0, **kwargs) -> None:
        if end <= begin:
            raise ValueError(f'a warm-up from {begin} to {end} has no step; raise `end`')
        super().__init__(
            optimizer, start_factor=1 / (end - begin), begin=begin, end=end, **kwargs
        )
