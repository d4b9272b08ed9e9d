"""One image file as an array of bytes: upright, in RGB, resized and cropped. Pillow is imported when one is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Resize", "checked_sizes", "read_image"]

#: Short side, exact (height, width), or None: as small as the crop allows.
Resize: TypeAlias = int | tuple[int, int] | None

#: A JPEG is decoded at a fraction of its size as long as it stays so many times as large as what it is resized to.
_DRAFT_FACTOR = 2
_WITH_ALPHA = {"RGBA", "LA", "PA", "RGBa"}
#: Modes of 16 bits, besides the "I" of some formats, whose other files hold 32.
_DEEP, _DEEP_AS_I = {"I;16", "I;16L", "I;16B", "I;16N"}, {"PNG", "PPM"}


def checked_sizes(image_size: Any, resize: Any) -> tuple[tuple[int, int], Resize]:
    """Return the size of rows and that before the crop, or raise a ValueError."""
    crop = _pair("image_size", image_size)
    if resize is None:
        return crop, None
    new = _pair("resize", resize)
    if new[0] < crop[0] or new[1] < crop[1]:
        raise ValueError(
            f"resize={resize!r} must be at least as large as image_size={image_size!r}, which is cut out of it."
        )
    return crop, new if isinstance(resize, Sequence) else new[0]


def _pair(name: str, value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value, value)
    if len(values) != 2 or not all(
        isinstance(side, Integral) and int(side) > 0 and side is not True for side in values
    ):
        raise ValueError(f"{name} must be a positive integer or a pair (height, width) of them, got {value!r}.")
    return int(values[0]), int(values[1])


def read_image(path: str, image_size: tuple[int, int], resize: Resize) -> NDArray[np.uint8]:
    """Return an image file as an array (3, H, W) of bytes.

    Raises
    ------
    Exception
        Whatever Pillow raises where it cannot read the file.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        enough = _DRAFT_FACTOR * max(resize if isinstance(resize, tuple) else (resize or max(image_size),))
        image.draft(None, (enough, enough))  # type: ignore[arg-type]  # None: the colours stay
        image.load()
        # What stands in for the orientation may be anything, and is no reason to refuse good pixels.
        with suppress(Exception):
            ImageOps.exif_transpose(image, in_place=True)
        rgb = _as_rgb(image)
    box = _crop_box(rgb.size, image_size, resize)
    resized = rgb.resize(image_size[::-1], Image.Resampling.BILINEAR, box=box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))


def _as_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode in _DEEP or (image.mode == "I" and image.format in _DEEP_AS_I):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are 32-bit numbers (mode {image.mode!r}) whose range is unknown; save 8 or 16 bits"
        )
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _crop_box(size: tuple[int, int], image_size: tuple[int, int], resize: Resize) -> tuple[float, float, float, float]:
    """Return the part of an image that resizing and then cropping leaves, so that only this part is resized."""
    (width, height), (crop_height, crop_width) = size, image_size
    if isinstance(resize, tuple):
        new_height, new_width = resize
    elif (width <= height) if resize else (width * crop_height <= height * crop_width):
        new_width = resize or crop_width
        new_height = max(int(new_width * height / width), crop_height)
    else:
        new_height = resize or crop_height
        new_width = max(int(new_height * width / height), crop_width)
    left, top = round((new_width - crop_width) / 2), round((new_height - crop_height) / 2)
    x_scale, y_scale = width / new_width, height / new_height
    right, bottom = min((left + crop_width) * x_scale, width), min((top + crop_height) * y_scale, height)
    return left * x_scale, top * y_scale, right, bottom
