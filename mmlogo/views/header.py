"""What the header of an image file says, before a pixel is decoded."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

# PIL refuses larger images as decompression bombs: 2 * PIL.Image.MAX_IMAGE_PIXELS. As RGB
# they need 537 MB. The largest sensors of cameras have 151 million pixels.
MAX_PIXELS = 2 * 89_478_485


class BadImage(OSError):  # noqa: N818 - it reads as what the file is
    """An image file that cannot be used. The message says why."""


def check_header(data: bytes, max_pixels: int | None = MAX_PIXELS) -> tuple[int, int]:
    """Refuse an image that is too large, from its header alone.

    Args:
        data: Content of the file.
        max_pixels: Largest number of pixels; default: `MAX_PIXELS`. None allows any.

    Returns:
        Width and height, pixels.

    Raises:
        BadImage: If the file is empty, has no header of an image, or has more pixels.
    """
    if not data:
        raise BadImage('the file is empty')
    try:
        with _without_pils_limit(), Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    # The plugins of PIL raise many types for a damaged header.
    except Exception as error:
        raise BadImage(
            f'it has no header of an image that PIL knows; it begins with {data[:12]!r}'
        ) from error
    if max_pixels is not None and width * height > max_pixels:
        raise BadImage(
            f'its header says {width} x {height} pixels, more than max_pixels='
            f'{max_pixels}, so it was not decoded; a real image of this size needs a '
            'higher max_pixels'
        )
    return width, height


_LIMIT = threading.Lock()


@contextmanager
def _without_pils_limit() -> Iterator[None]:
    """Let PIL read the header of any image: `max_pixels` is the limit, and may be higher.

    No pixel is decoded meanwhile. The lock keeps two threads from restoring each other's
    None.
    """
    with _LIMIT:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
