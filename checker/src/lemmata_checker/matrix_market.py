"""Matrix Market files: dense arrays, and sparse matrices as CSR.

Source: Boisvert, Pozo, Remington, The Matrix Market exchange formats: initial
design (NISTIR 5935, 1996).
"""

import io
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from .errors import Unreadable
from .tables import number

MAX_SIDE = 2**27  # a row costs 8 bytes even where it is empty
# An index with a sign, and a carriage return that ends no line.
_SIGNED = re.compile(r"^[ \t]*(?:[^ \t\n]+[ \t]+)?[+-]\d+[ \t\r\n]", re.MULTILINE)
_ODD = "%_#\x0b\x0c\x1c\x1d\x1e\x1f"
_LONE_RETURN = re.compile(r"\r(?!\n)")
_MIRROR = {"general": 0.0, "symmetric": 1.0, "skew-symmetric": -1.0}


class CSR(NamedTuple):
    """Compressed sparse rows, column indices ascending within a row.

    **Fields:** `data` (k,) float64; `indices` (k,) int64; `indptr` (n + 1,)
    int64; `shape` (n, m).
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, int]


def parse_dense(text: str) -> np.ndarray:
    """The matrix of an `array` file, float64, shape `(n, m)`.

    **Raises:** `Unreadable`: line, expected, got.
    """
    lines = _lines(text)
    layout, field, mirror = _banner(text)
    if layout != "array":
        raise Unreadable("holds a sparse matrix where a dense array is needed")
    if field == "pattern":
        raise Unreadable("line 1: an array has numbers, not a pattern")
    (rows, columns), _ = _entry(next(lines, None), (_size, _size), "two sizes")
    if mirror and rows != columns:
        raise Unreadable(f"a symmetric matrix is square, not {rows} x {columns}")
    if max(rows, 1) * max(columns, 1) > 2 * len(text):  # a digit and a line end each
        raise Unreadable(f"is cut short: {rows} x {columns} entries do not fit in it")
    # Column by column; of a symmetric matrix the lower triangle, of a
    # skew-symmetric one without its diagonal.
    skip = 0 if mirror > 0 else 1
    starts = [j + skip if mirror else 0 for j in range(columns if rows else 0)]
    matrix = np.zeros((rows, columns))
    for column, start in enumerate(starts):
        for row in range(start, rows):
            (entry,), _ = _entry(next(lines, None), (number,), "one number")
            matrix[row, column] = entry
            if mirror and row != column:
                matrix[column, row] = mirror * entry
    _end(lines)
    return matrix


def parse_sparse(text: str) -> CSR:
    """The matrix of a `coordinate` file.

    **Raises:** `Unreadable`: line, expected, got.
    """
    lines = _lines(text)
    layout, field, mirror = _banner(text)
    if layout != "coordinate":
        raise Unreadable("holds a dense array where a sparse matrix is needed")
    sizes, line = _entry(next(lines, None), (_size, _size, _size), "three sizes")
    rows, columns, count = sizes
    if max(rows, columns) > MAX_SIDE or count > len(text):
        raise Unreadable(f"line {line}: {rows} x {columns}, {count} entries: too large")
    if mirror and rows != columns:
        raise Unreadable(f"a symmetric matrix is square, not {rows} x {columns}")
    kinds = (_size, _size) if field == "pattern" else (_size, _size, number)
    body = _after(text, line)
    i, j, x = _fast_entries(body, count, field == "pattern") or _entries(
        lines, (rows, columns), count, kinds, field
    )
    if not _inside(i, j, (rows, columns)):  # read again, for the line to blame
        _entries(lines, (rows, columns), count, kinds, field)
    return _compress(*_complete(i, j, x, mirror), (rows, columns))


def _after(text: str, line: int) -> str:
    """What follows the line of this number."""
    place = 0
    for _ in range(line):
        place = text.find("\n", place) + 1 or len(text)
    return text[place:]


def _fast_entries(body: str, count: int, pattern: bool) -> tuple | None:
    """Row, column and value of every entry, or None where anything is unusual.

    It accepts nothing that `_entries`, which says what is wrong, would refuse.
    """
    unusual = any(mark in body for mark in _ODD) or not body.isascii()
    if unusual or not count or _SIGNED.search(body) or _LONE_RETURN.search(body):
        return None
    kinds = [("i", "i8"), ("j", "i8")] + ([] if pattern else [("x", "f8")])
    try:
        table = np.loadtxt(io.StringIO(body), dtype=kinds, comments=None, ndmin=1)
    except ValueError:
        return None
    if table.shape != (count,):
        return None
    x = np.ones(count) if pattern else np.ascontiguousarray(table["x"])
    return table["i"] - 1, table["j"] - 1, x


def _inside(i: np.ndarray, j: np.ndarray, shape: tuple[int, int]) -> bool:
    least, most = (0, 0), (-1, -1)
    if i.size:
        least, most = (i.min(), j.min()), (i.max(), j.max())
    return min(least) >= 0 and most[0] < shape[0] and most[1] < shape[1]


def _entries(
    lines: Iterator[tuple[int, str]],
    shape: tuple[int, int],
    count: int,
    kinds: tuple[Callable, ...],
    field: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and value of every entry, line by line."""
    what = "row and column" if field == "pattern" else "row, column and a number"
    i, j, x = np.zeros(count, np.int64), np.zeros(count, np.int64), np.ones(count)
    for k in range(count):
        entry, line = _entry(next(lines, None), kinds, what)
        if not (1 <= entry[0] <= shape[0] and 1 <= entry[1] <= shape[1]):
            where = f"{shape[0]} x {shape[1]}"
            raise Unreadable(f"line {line}: no entry {entry[:2]} in {where}")
        i[k], j[k] = entry[0] - 1, entry[1] - 1
        x[k] = entry[2] if len(entry) == 3 else 1.0
    _end(lines)
    return i, j, x


def _complete(
    i: np.ndarray, j: np.ndarray, x: np.ndarray, mirror: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both triangles of a symmetric matrix of which one is stored."""
    if not mirror:
        return i, j, x
    if np.any(i < j) or (mirror < 0 and np.any(i == j)):
        raise Unreadable("a symmetric file holds the lower triangle only")
    off = i != j
    both = np.concatenate([i, j[off]]), np.concatenate([j, i[off]])
    return *both, np.concatenate([x, mirror * x[off]])


def _compress(
    i: np.ndarray, j: np.ndarray, x: np.ndarray, shape: tuple[int, int]
) -> CSR:
    code = i * shape[1] + j  # below 2^54, since sides are bounded
    if np.any(np.diff(code) <= 0):
        order = np.argsort(code, kind="stable")
        i, j, x, code = i[order], j[order], x[order], code[order]
    twice = np.flatnonzero(np.diff(code) == 0)
    if twice.size:
        where = int(i[twice[0]]) + 1, int(j[twice[0]]) + 1
        raise Unreadable(f"entry {where} comes twice")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=shape[0]))])
    return CSR(x, j, indptr.astype(np.int64), shape)


def _banner(text: str) -> tuple[str, str, float]:
    words = text[:200].split("\n", 1)[0].lower().split()
    if len(words) != 5 or words[:2] != ["%%matrixmarket", "matrix"]:
        raise Unreadable(
            "line 1: expected '%%MatrixMarket matrix LAYOUT FIELD SYMMETRY'"
        )
    layout, field, symmetry = words[2:]
    fields = ("real", "integer", "pattern")
    if layout not in ("array", "coordinate") or field not in fields:
        raise Unreadable(f"line 1: '{layout} {field}' is not read; save it as real")
    if symmetry not in _MIRROR:
        raise Unreadable(f"line 1: symmetry {symmetry!r} is not read; save as general")
    return layout, field, _MIRROR[symmetry]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for index, line in enumerate(io.StringIO(text), start=1):
        if line.strip() and not line.startswith("%"):
            yield index, line


def _entry(
    found: tuple[int, str] | None, kinds: tuple[Callable, ...], what: str
) -> tuple[list, int]:
    """The words of a line, converted, and its number."""
    if found is None:
        raise Unreadable(f"is cut short: expected {what} after its last line")
    line, text = found
    words = text.split()
    try:
        if len(words) != len(kinds):
            raise ValueError(text)
        return [kind(word) for kind, word in zip(kinds, words, strict=True)], line
    except ValueError:
        got = text.strip()[:40]
        raise Unreadable(f"line {line}: expected {what}, got {got!r}") from None


def _size(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 16):
        raise ValueError(word)
    return int(word)


def _end(lines: Iterator[tuple[int, str]]) -> None:
    extra = next(lines, None)
    if extra is not None:
        raise Unreadable(f"line {extra[0]}: more entries than announced")
