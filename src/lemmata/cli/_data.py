"""The user's files as arrays of numbers."""

from collections.abc import Mapping

import numpy as np

from ._refusal import Refusal

PARTS = ("data", "indices", "indptr")
"""Of a sparse matrix in compressed rows, as arrays of a problem are called."""


def load(flag: str, files: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Every file of a `name=file` mapping; a sparse matrix gives three arrays.

    Raises `Refusal`, naming flag and file.
    """
    from lemmata_checker.errors import Unreadable
    from lemmata_checker.readers import CSR

    from ..data import read_matrix

    arrays: dict[str, np.ndarray] = {}
    for name, file in files.items():
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
