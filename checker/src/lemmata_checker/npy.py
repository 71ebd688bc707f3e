"""NumPy's `.npy` layout, written one way and read with bounds and no pickle.

Source: NumPy enhancement proposal 1, format versions 1.0 to 3.0.
"""

import re
import struct
from typing import NamedTuple

import numpy as np

from .errors import Unreadable
from .packed import DTYPES

MAGIC = b"\x93NUMPY"
MAX_DIMENSIONS = 8
MAX_ENTRIES = 2**40  # of an empty array's other axes, too: rules size buffers by them
_HEADER = re.compile(
    r"\{\s*'descr':\s*'([<>=|]?[a-zA-Z][0-9]{0,3})',"
    r"\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*"
)


class Header(NamedTuple):
    """What stands before the data: dtype code, order, shape, its own length."""

    dtype: str
    fortran_order: bool
    shape: tuple[int, ...]
    length: int


def encode_header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The one header of a C-ordered array: version 1.0, a multiple of 64 bytes."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    padding = -(len(MAGIC) + 4 + len(text) + 1) % 64
    line = text.encode("ascii") + b" " * padding + b"\n"
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(line)) + line


def parse_header(data: bytes | memoryview) -> Header:
    """Read a header of format version 1.0, 2.0 or 3.0.

    **Raises:** `Unreadable` where it is damaged, or describes anything but a
    plain array of numbers.
    """
    start = bytes(data[:12])
    if start[:6] != MAGIC or len(start) < 12:
        raise Unreadable("it does not start like an npy file")
    if start[6] == 1:
        offset, size = 10, struct.unpack("<H", start[8:10])[0]
    elif start[6] in (2, 3):
        offset, size = 12, struct.unpack("<I", start[8:12])[0]
    else:
        raise Unreadable(f"npy format version {start[6]} is not known")
    if size > 4096 or offset + size > len(data):
        raise Unreadable("its npy header is too long, or cut short")
    text = bytes(data[offset : offset + size]).decode("latin-1")
    match = _HEADER.fullmatch(text)
    if match is None:
        raise Unreadable("its npy header does not describe a plain array of numbers")
    descr, fortran, shape = match.groups()
    return Header(descr, fortran == "True", _shape(shape), offset + size)


def view(data: bytes, header: Header, dtype: np.dtype) -> np.ndarray:
    """The array behind a header, read-only, without a copy.

    **Raises:** `Unreadable` unless the data have exactly the stated size, and
    for a boolean that is neither 0 nor 1.
    """
    entries = 1
    for size in header.shape:
        entries *= size
    expected = header.length + entries * dtype.itemsize
    if len(data) != expected:
        raise Unreadable(
            f"an array of shape {header.shape} needs {expected} bytes, "
            f"the file has {len(data)}"
        )
    order = "F" if header.fortran_order else "C"
    array = np.ndarray(header.shape, dtype, data, header.length, order=order)
    if dtype == np.bool_ and np.any(array.view(np.uint8) > 1):
        raise Unreadable("a boolean is neither 0 nor 1")
    return array


def decode(data: bytes) -> np.ndarray:
    """The array of a certificate's member: only what `encode_header` writes.

    **Raises:** `Unreadable` for any other byte in the header, a dtype outside
    `DTYPES`, and what `view` refuses.
    """
    header = parse_header(data)
    if header.dtype not in DTYPES:
        raise Unreadable(f"dtype {header.dtype!r} is not one of {', '.join(DTYPES)}")
    if data[: header.length] != encode_header(header.dtype, header.shape):
        raise Unreadable("its npy header is not in canonical form")
    return view(data, header, np.dtype(header.dtype))


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "":
        parts.pop()
    if len(parts) > MAX_DIMENSIONS:
        raise Unreadable(f"more than {MAX_DIMENSIONS} dimensions")
    if not all(part.isdigit() and len(part) < 14 for part in parts):
        raise Unreadable(f"({text[:80]}) is not a shape")
    shape = tuple(int(part) for part in parts)
    entries = 1
    for size in shape:
        entries *= max(size, 1)
    if entries > MAX_ENTRIES:
        raise Unreadable(f"shape {shape} is too large")
    return shape
