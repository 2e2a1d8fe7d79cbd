"""The version of mmlogo, and the lowest versions of the packages it needs."""

from __future__ import annotations

import re

__version__ = '0.1.0'

# These are lower bounds only. An upper bound that is asserted breaks a working installation
# on the day a dependency has a new release.
MINIMUM = {
    'torch': ('torch', '2.10.0'),
    'torchvision': ('torchvision', '0.25.0'),
    'mmengine': ('onedl-mmengine', '0.10.9'),
    'mmcv': ('onedl-mmcv', '2.3.0'),
    'mmpretrain': ('onedl-mmpretrain', '1.3.0'),
}


def digits(text: str) -> tuple[int, ...]:
    """Turn `'2.11.0+cu130'` to `(2, 11, 0)`: the first three numbers, no build."""
    return tuple(int(part) for part in re.findall(r'\d+', text.split('+')[0])[:3])


version_info = digits(__version__)
