"""The description of a view. This file only holds data and checks it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

ROLES = ('global', 'local')


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """How one kind of view is made from an image.

    Args:
        role: 'global', the default, or 'local'. Global views are pulled together and are
            the targets of all views. Local views are pulled to the global ones and pushed
            apart from each other.
        count: Number of views of this kind per image, >= 0. Default: 1.
        size: Side of the square view, pixels.
        scale: Range of the crop's share of the image's area, in (0, 1].
        ratio: Range of the crop's width over its height. Default: (3 / 4, 4 / 3).
        flip: Probability of a horizontal flip. Default: 0.5.
        jitter: Strengths s of brightness, contrast, saturation and hue, as in
            torchvision's ColorJitter. Factors are drawn from [max(0, 1 - s), 1 + s], and
            shifts of the hue, in turns, from [-s, s] with s <= 0.5. Every sample has its
            own factors and its own order. Default: all 0.
        jitter_p: Probability of the colour jitter. Default: 0.
        gray: Probability of grayscale. Default: 0.
        blur: Probability of a Gaussian blur. Default: 0.
        blur_sigma: Range of the blur's standard deviation, pixels. Default: (0.1, 2.0).
        solarize: Probability of solarisation. Default: 0.
        solarize_threshold: Values from this one up are inverted, in [0, 255]. Default:
            128.

    Raises:
        ValueError: If a value is outside its range.
    """

    role: str = 'global'
    count: int = 1
    size: int
    scale: tuple[float, float]
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jitter_p: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    solarize: float = 0.0
    solarize_threshold: float = 128.0

    def __post_init__(self) -> None:
        self._rule(self.role in ROLES, 'role', f'one of {ROLES}')
        self._rule(
            isinstance(self.count, int) and self.count >= 0, 'count', 'an integer >= 0'
        )
        self._rule(isinstance(self.size, int) and self.size >= 1, 'size', 'pixels >= 1')
        for name in ('scale', 'ratio', 'blur_sigma'):
            value, rule = getattr(self, name), 'a range (low, high) with 0 < low <= high'
            self._rule(isinstance(value, (tuple, list)) and len(value) == 2, name, rule)
            self._rule(0 < value[0] <= value[1], name, rule)
        self._rule(self.scale[1] <= 1, 'scale', 'a share of the image, at most 1')
        for name in ('flip', 'jitter_p', 'gray', 'blur', 'solarize'):
            self._rule(0 <= getattr(self, name) <= 1, name, 'a probability in [0, 1]')
        self._rule(
            isinstance(self.jitter, (tuple, list))
            and len(self.jitter) == 4
            and min(self.jitter) >= 0
            and self.jitter[3] <= 0.5,
            'jitter',
            '(brightness, contrast, saturation, hue), all >= 0 and hue <= 0.5',
        )

    def _rule(self, holds: bool, name: str, rule: str) -> None:
        if not holds:
            raise ValueError(
                f'view spec: {name}={getattr(self, name)!r}, but it must be {rule}'
            )

    @property
    def colours(self) -> ViewSpec:
        """This spec without what `change_colours` does not read: role, count and crop."""
        whole = (1.0, 1.0)
        return replace(self, role='global', count=1, scale=whole, ratio=whole, flip=0.0)

    @property
    def blur_reach(self) -> int:
        """Half the width of the blur's kernel, pixels: three times the largest sigma."""
        return math.ceil(3 * self.blur_sigma[1])


def parse_views(views: Mapping[str, ViewSpec | Mapping]) -> list[ViewSpec]:
    """Return one spec per view: kinds in their order, each repeated `count` times.

    The place of a view in this list is the stream that its parameters are drawn from.

    Args:
        views: Kind of view -> `ViewSpec` or its arguments. It is a mapping, so that a
            config that inherits can change one value of one kind.

    Raises:
        ValueError: If a kind has an unknown key or a value outside its range, if a local
            kind stands before a global one, or if there is no view.
    """
    allowed = [field.name for field in fields(ViewSpec)]
    specs: list[ViewSpec] = []
    for kind, spec in views.items():
        if not isinstance(spec, ViewSpec):
            for key in spec:
                if key not in allowed:
                    near = get_close_matches(key, allowed, 1)
                    hint = f'; did you mean {near[0]!r}?' if near else ''
                    raise ValueError(f'views.{kind} has no key {key!r}{hint}')
            try:
                values: dict[str, Any] = {
                    key: tuple(value) if isinstance(value, list) else value
                    for key, value in spec.items()
                }
                spec = ViewSpec(**values)
            except (TypeError, ValueError) as error:
                raise ValueError(f'views.{kind}: {error}') from None
        specs += [spec] * spec.count
    roles = [spec.role for spec in specs]
    if not specs:
        raise ValueError(f'no views: every count is 0 in {dict(views)}')
    if roles != sorted(roles):  # 'global' sorts before 'local'
        raise ValueError(
            f'views must name their globals before their locals, got {roles}; '
            'change the order of the kinds'
        )
    return specs
