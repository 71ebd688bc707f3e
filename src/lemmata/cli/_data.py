"""The user's files as arrays of numbers."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._refusal import Refusal

PARTS = ("data", "indices", "indptr")
"""Of a sparse matrix in compressed rows, as arrays of a problem are called."""


def stem(name: str) -> str:
    """`network` of `network_3_weight`, an array of a network; else the name itself."""
    match = re.fullmatch(r"(network)_[0-9]+_(weight|bias)", name)
    return match[1] if match else name


def networks(flag: str, files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The layer records of every ONNX file of a `name=file` mapping, by name."""
    return {
        name: _network(flag, name, file)[0]
        for name, file in files.items()
        if is_onnx(file)
    }


def is_onnx(file: str) -> bool:
    """Whether a file holds a network."""
    return file.lower().endswith(".onnx")


def _network(flag: str, name: str, file: str) -> Any:
    from lemmata_checker.errors import Unreadable
    from lemmata_checker.onnx import read_onnx

    if name != "network":
        raise Refusal(f"{flag} {name}: {file} holds a network, not an array.")
    try:
        return read_onnx(file)
    except Unreadable as error:
        raise Refusal(f"{flag} {name}: {str(error).rstrip('.')}.") from error


def load(flag: str, files: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Every file of a `name=file` mapping; a sparse matrix gives three arrays, an ONNX
    file the arrays of its network.

    Raises `Refusal`, naming flag and file.
    """
    from lemmata_checker.errors import Unreadable
    from lemmata_checker.readers import CSR

    from ..data import read_matrix

    arrays: dict[str, np.ndarray] = {}
    for name, file in files.items():
        if is_onnx(file):
            arrays |= _network(flag, name, file)[1]
            continue
        try:
            array = read_matrix(file)
        except Unreadable as error:
            reason = str(error).rstrip(".")
            raise Refusal(f"{flag} {name}: {reason}.") from error
        if isinstance(array, CSR):
            if array.shape[0] != array.shape[1]:
                size = f"{array.shape[0]} x {array.shape[1]}"
                raise Refusal(
                    f"{flag} {name}: {file} holds a sparse {size} matrix; only square "
                    "ones are taken so: save it dense, in the `array` layout."
                )
            arrays |= {f"{name}_{part}": getattr(array, part) for part in PARTS}
            continue
        if array.dtype.kind not in "biuf":
            raise Refusal(
                f"{flag} {name}: {file} holds {array.dtype}, expected real numbers."
            )
        arrays[name] = array
    return arrays
