"""The version of mmlogo, and the least versions of what it needs."""

from __future__ import annotations

import re

__version__ = '0.1.0'

# Lower bounds only: an upper bound that asserts turns a working installation
# into a broken one on the day a dependency releases.
MINIMUM = {
    'torch': ('torch', '2.10.0'),
    'torchvision': ('torchvision', '0.25.0'),
    'mmengine': ('onedl-mmengine', '0.10.9'),
    'mmcv': ('onedl-mmcv', '2.3.0'),
    'mmpretrain': ('onedl-mmpretrain', '1.3.0'),
}


def digits(text: str) -> tuple[int, ...]:
    """`'2.11.0+cu130'` to `(2, 11, 0)`: the first three numbers, without the build."""
    return tuple(int(part) for part in re.findall(r'\d+', text.split('+')[0])[:3])


version_info = digits(__version__)
