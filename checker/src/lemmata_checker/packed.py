"""The packed form of a problem, and its digest: the only form that travels."""

import hashlib
import json
import re
from typing import Any, NamedTuple

import numpy as np

DTYPES = ("<f8", "<f4", "<i8", "<i4", "|u1", "|b1")
NAME = re.compile(r"[a-z0-9_]{1,64}")
IDENTIFIER = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*/[1-9][0-9]{0,5}")


class Packed(NamedTuple):
    """A problem as data.

    **Fields:**

    - `kind`: which problem, with its version, such as `"transport.entropic/1"`.
    - `json`: numbers, strings, lists and records; every number finite.
    - `arrays`: name to array; names `[a-z0-9_]`, dtypes one of `DTYPES`.
    """

    kind: str
    json: dict[str, Any]
    arrays: dict[str, np.ndarray]


def canonical(array: np.ndarray) -> np.ndarray:
    """The same numbers, little-endian and in C order.

    **Raises:** `TypeError` for a dtype that is not one of `DTYPES`.
    """
    array = np.asarray(array)
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in DTYPES:
        allowed = ", ".join(np.dtype(code).name for code in DTYPES)
        raise TypeError(f"expected one of {allowed}, got {array.dtype}")
    return np.asarray(array, dtype=dtype, order="C")


def canonical_json(value: Any) -> bytes:
    """ASCII JSON with sorted keys and no spaces; floats as Python's `repr`.

    **Raises:** `ValueError` for a number that is not finite, `TypeError` for
    a value that JSON cannot hold.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest(packed: Packed) -> str:
    """SHA-256 of a packed problem, in hexadecimal.

    Hashed are one line of canonical JSON `{"json":…,"kind":…}` and then, per
    array sorted by name, one line `["name","dtype",[shape]]` and its bytes.
    Each line ends in a line feed and fixes the length of what follows, so two
    different problems never feed the hash the same bytes.
    """
    hasher = hashlib.sha256()
    hasher.update(canonical_json({"kind": packed.kind, "json": packed.json}) + b"\n")
    for name in sorted(packed.arrays):
        array = canonical(packed.arrays[name])
        hasher.update(canonical_json([name, array.dtype.str, array.shape]) + b"\n")
        hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()
