"""Global and local views, and pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class GlobalLocal(NamedTuple):
    """The views of a batch by role."""

    global_views: list[Tensor]  # G x (N, 3, S, S)
    local_views: list[Tensor]  # M x (N, 3, S', S')

    @classmethod
    def split(cls, inputs: Sequence[Tensor] | Tensor, num_globals: int) -> GlobalLocal:
        """Take the first `num_globals` inputs as global views, the rest as local ones.

        Raises:
            ValueError: With fewer than two globals, or with one local.
        """
        if isinstance(inputs, Tensor) or len(inputs) < num_globals:
            got = 1 if isinstance(inputs, Tensor) else len(inputs)
            raise ValueError(
                f'the batch has {got} views per image and {num_globals} of them should '
                'be global; give the data preprocessor (or MultiView) more views'
            )
        check_counts(num_globals, len(inputs) - num_globals)
        return cls(list(inputs[:num_globals]), list(inputs[num_globals:]))


def pair_of(inputs: Sequence[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
    """The two views of a method that has two.

    Raises:
        ValueError: If there are more or fewer.
    """
    if isinstance(inputs, Tensor) or len(inputs) != 2:
        got = 1 if isinstance(inputs, Tensor) else len(inputs)
        raise ValueError(
            f'the batch has {got} views per image and this method compares 2; change '
            "the data preprocessor's views (or MultiView)"
        )
    return inputs[0], inputs[1]


def check_counts(num_globals: int, num_locals: int) -> None:
    """Raise ValueError unless there are >= 2 globals and 0 or >= 2 locals."""
    if num_globals < 2:
        raise ValueError(
            f'{num_globals} global views per image, but pulling needs at least 2; '
            'raise the `count` of the global views'
        )
    if num_locals == 1:
        raise ValueError(
            '1 local view per image, but locals are pushed apart from each other: '
            'there must be none or at least 2; change the `count` of the local views'
        )


def num_globals_of(data_preprocessor: nn.Module, num_globals: int | None) -> int:
    """Return how many of the inputs, from the first, are global views.

    Args:
        data_preprocessor: Ours knows the number, mmpretrain's does not.
        num_globals: The algorithm's argument. None asks the preprocessor.

    Raises:
        ValueError: If nobody knows the number, if the two disagree, or if there are too
            few global views or a single local one.
    """
    known: int | None = getattr(data_preprocessor, 'num_globals', num_globals)
    if known is None:
        raise ValueError(
            f'{type(data_preprocessor).__name__} does not say which views are global; '
            'set `model.num_globals` to how many of the inputs, from the first, are'
        )
    if num_globals not in (None, known):
        raise ValueError(
            f'num_globals={num_globals}, but the data preprocessor makes {known} global '
            'views; leave num_globals out'
        )
    check_counts(known, getattr(data_preprocessor, 'num_locals', 0))
    return known
