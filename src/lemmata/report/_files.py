"""Files that a study names: only plain names, only from its folder, only so large."""

import re
import struct
from pathlib import Path

from ._errors import Unreadable
from ._fields import read_bytes

MAX_CERTIFICATE = 512 * 2**20
MAX_IMAGE = 32 * 2**20
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,120}")
_PNG = b"\x89PNG\r\n\x1a\n"


def confined(name: str, suffix: str) -> str:
    """`name` if it is a plain file name ending in `suffix`. Raises `Unreadable`."""
    if not _PLAIN.fullmatch(name) or not name.endswith(suffix):
        shown = ascii(name[:60])
        raise Unreadable(f"{shown} is no file name of [a-z0-9_.-] ending in {suffix}")
    return name


def certificate(folder: Path, name: str) -> bytes:
    """The bytes of a `.lemma` file of the study. Raises `Unreadable`."""
    return read_bytes(folder / confined(name, ".lemma"), MAX_CERTIFICATE)


def image(folder: Path, name: str) -> tuple[bytes, int, int]:
    """A PNG image of the study with width and height. Raises `Unreadable`."""
    data = read_bytes(folder / confined(name, ".png"), MAX_IMAGE)
    if not data.startswith(_PNG) or len(data) < 24 or data[12:16] != b"IHDR":
        raise Unreadable(f"{name}: not a PNG image")
    width, height = struct.unpack(">II", data[16:24])
    return data, width, height
