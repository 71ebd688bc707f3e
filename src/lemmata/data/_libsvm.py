"""Files in LIBSVM's text format: each line `label index:value index:value ...`."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from lemmata_checker.errors import Unreadable

LARGEST_FILE = 2**31  # bytes
LARGEST_ROW = 2**20  # bytes of one line
MOST_ENTRIES = 200_000_000
WIDEST = 2**24  # features


class Labelled(NamedTuple):
    """Rows of features with their labels.

    **Fields:** `features`: SciPy CSR (k, d), float64. `labels`: (k,), as in the file.
    """

    features: csr_array
    labels: np.ndarray


def read_libsvm(
    file: str | os.PathLike[str], *, features: int | None = None
) -> Labelled:
    """Reads a LIBSVM file; indices count from 1 and rise along a line.

    **Arguments:**

    - `features`: number of columns d; None: the largest index that occurs.

    **Raises:** `lemmata_checker.Unreadable`, naming file and line.
    """
    path = Path(file)
    if not path.is_file():
        raise Unreadable(f"{path}: no such file")
    if path.stat().st_size > LARGEST_FILE:
        raise Unreadable(f"{path}: more than {LARGEST_FILE} bytes")
    labels: list[float] = []
    columns: list[np.ndarray] = []
    values: list[np.ndarray] = []
    counts = [0]
    with path.open("rb") as lines:
        number = 0
        while line := lines.readline(LARGEST_ROW + 1):
            number += 1
            words = line.partition(b"#")[0].split()
            if len(line) > LARGEST_ROW:
                raise _bad(path, number, f"at most {LARGEST_ROW} bytes", "more")
            if not words:
                continue
            labels.append(_number(path, number, words[0]))
            index, value = _row(path, number, words[1:])
            columns.append(index)
            values.append(value)
            counts.append(counts[-1] + index.size)
            if counts[-1] > MOST_ENTRIES:
                raise _bad(path, number, f"at most {MOST_ENTRIES} entries", "more")
    return _assembled(path, features, labels, columns, values, counts)


def _assembled(
    path: Path,
    features: int | None,
    labels: list[float],
    columns: list[np.ndarray],
    values: list[np.ndarray],
    counts: list[int],
) -> Labelled:
    if not labels:
        raise Unreadable(f"{path}: no rows")
    place, entries = np.concatenate(columns), np.concatenate(values)
    width = int(place.max(initial=0)) if features is None else features
    if place.size and place.max() > width:
        raise Unreadable(
            f"{path}: expected indices up to {width}, got {int(place.max())}"
        )
    shape = (len(labels), width)
    rows = csr_array((entries, place - 1, np.asarray(counts)), shape=shape)
    return Labelled(rows, np.asarray(labels))


def _row(path: Path, number: int, words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    index = np.empty(len(words), dtype=np.int64)
    value = np.empty(len(words))
    for place, word in enumerate(words):
        left, colon, right = word.partition(b":")
        if not (colon and left.isdigit() and len(left) <= 9):
            raise _bad(path, number, "index:value", word[:40].decode("latin-1"))
        index[place] = int(left)
        value[place] = _number(path, number, right)
    if index.size and not (index[0] >= 1 and np.all(np.diff(index) > 0)):
        raise _bad(path, number, "indices from 1, rising", "others")
    if index.size and index[-1] > WIDEST:
        raise _bad(path, number, f"indices up to {WIDEST}", int(index[-1]))
    return index, value


def _number(path: Path, number: int, word: bytes) -> float:
    try:
        found = float(word)
    except ValueError:
        found = np.nan
    if not np.isfinite(found) or b"_" in word:
        raise _bad(path, number, "a finite number", word[:40].decode("latin-1"))
    return found


def _bad(path: Path, number: int, expected: str, got: object) -> Unreadable:
    return Unreadable(f"{path}, line {number}: expected {expected}, got {got}")
