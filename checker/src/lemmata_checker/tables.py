"""Tables of numbers as text: CSV and TSV, with optional header and comments."""

import csv
import io
from array import array as Buffer  # noqa: N812
from collections.abc import Iterator

import numpy as np

from .errors import Unreadable


def parse_table(text: str, delimiter: str) -> np.ndarray:
    """The numbers of a table, float64, shape `(rows, columns)`, or `(rows,)`.

    Blank lines and lines that start with `#` are skipped. The first row left is
    a header if none of its cells is a number.

    **Raises:** `Unreadable`: line, column, and what stands there.
    """
    numbers, rows, width = Buffer("d"), 0, 0
    for line, cells in _rows(text, delimiter):
        if not width:
            width = len(cells)
            if not any(_is_number(cell) for cell in cells):
                continue
        if len(cells) != width:
            raise Unreadable(f"line {line} has {len(cells)} cells, expected {width}")
        numbers.extend(_row(line, cells))
        rows += 1
    if not rows:
        raise Unreadable("holds no row of numbers")
    table = np.array(numbers, dtype="<f8").reshape(rows, width)
    return table.reshape(rows) if width == 1 else table


def number(text: str) -> float:
    """A decimal number, `inf` or `nan`.

    **Raises:** `ValueError` for anything else, Python's `1_000` included.
    """
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return float(text)


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            blank = all(not cell.strip() for cell in cells) and len(cells) < 2
            if not blank and not cells[0].lstrip().startswith("#"):
                yield reader.line_num, cells
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num}: {error}") from error


def _row(line: int, cells: list[str]) -> list[float]:
    try:
        return [number(cell) for cell in cells]
    except ValueError:
        column = next(i for i, cell in enumerate(cells) if not _is_number(cell))
        got = repr(cells[column][:40]) if cells[column].strip() else "nothing"
        where = f"line {line}, column {column + 1}"
        raise Unreadable(f"{where}: expected a number, got {got}") from None


def _is_number(cell: str) -> bool:
    try:
        number(cell)
    except ValueError:
        return False
    return True
