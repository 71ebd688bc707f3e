"""Pictures as clouds of colours, through pillow (extra `files`)."""

import warnings
from pathlib import Path

import numpy as np

from lemmata_checker.errors import Unreadable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


def read_image(path: Path, part: str | None = None) -> np.ndarray:
    """The colours of a picture's pixels, row by row from the top left.

    **Arguments:**

    - `part`: `colours=N` takes N pixels, drawn without replacement by a generator of
      fixed seed 0, in reading order; None takes all.

    **Returns:** float64, shape `(pixels, 3)`, sRGB values divided by 255; transparency
    is dropped, grey becomes three equal values.

    **Raises:** `Unreadable` for what is no picture, and for more than 8 bits a channel.
    """
    pixels = _pixels(path).reshape(-1, 3) / 255.0
    if part is None:
        return pixels
    word, _, count = part.partition("=")
    if word != "colours" or not (count.isascii() and count.isdigit() and int(count)):
        raise Unreadable(f"{path}: {part!r} means nothing here; write #colours=1000")
    if int(count) > len(pixels):
        raise Unreadable(f"{path}: has {len(pixels)} pixels, fewer than {count}")
    chosen = np.random.default_rng(0).choice(len(pixels), int(count), replace=False)
    return pixels[np.sort(chosen)]


def _pixels(path: Path) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unreadable(
            f"{path}: reading pictures needs pillow; pip install 'lemmata[files]'."
        ) from error
    if not path.is_file():
        raise Unreadable(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode not in _EIGHT_BIT:
                    raise Unreadable(
                        f"{path}: pixels of kind {image.mode}; save it as 8-bit RGB"
                    )
                return np.asarray(image.convert("RGB"))
    except (
        OSError,
        ValueError,
        SyntaxError,  # pillow's word for a broken PNG
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise Unreadable(f"{path}: not a readable picture: {error}") from error
