"""The user's files as arrays of numbers."""

from collections.abc import Mapping

import numpy as np

from ._refusal import Refusal


def load(flag: str, files: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Every file of a `name=file` mapping. Raises `Refusal`, naming flag and file."""
    from lemmata_checker.errors import Unreadable

    from ..data import read_array

    arrays = {}
    for name, file in files.items():
        try:
            array = read_array(file)
        except Unreadable as error:
            reason = str(error).rstrip(".")
            raise Refusal(f"{flag} {name}: {reason}.") from error
        if array.dtype.kind not in "biuf":
            raise Refusal(
                f"{flag} {name}: {file} holds {array.dtype}, expected real numbers."
            )
        arrays[name] = array
    return arrays
