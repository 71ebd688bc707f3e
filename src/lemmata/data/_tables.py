"""Columns of a Parquet file, through pyarrow (extra `files`)."""

from pathlib import Path

import numpy as np

from lemmata_checker.errors import Unreadable

SUFFIXES = (".parquet", ".pq")


def read_parquet(path: Path, columns: str | None = None) -> np.ndarray:
    """The numeric columns of a table.

    **Arguments:**

    - `columns`: names joined by commas; None takes all of them.

    **Returns:** float64, shape `(rows,)` for one column, else `(rows, columns)`.

    **Raises:** `Unreadable` for a missing file or column, text, and missing values.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise Unreadable(
            f"{path}: reading Parquet needs pyarrow; pip install 'lemmata[files]'."
        ) from error
    if not path.is_file():
        raise Unreadable(f"{path}: no such file")
    try:
        table = parquet.ParquetFile(path).read()
    except (ArrowException, OSError) as error:
        raise Unreadable(f"{path}: not a readable Parquet file: {error}") from error
    names = columns.split(",") if columns else table.column_names
    arrays = []
    for name in names:
        if name not in table.column_names:
            has = ", ".join(table.column_names)
            raise Unreadable(f"{path}: no column {name!r}; it has {has}")
        arrays.append(_column(path, name, table.column(name)))
    if not arrays:
        raise Unreadable(f"{path}: the table has no columns")
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)


def _column(path: Path, name: str, column: object) -> np.ndarray:
    if column.null_count:  # pyright: ignore[reportAttributeAccessIssue]
        raise Unreadable(
            f"{path}: column {name!r} has missing values; fill or drop them"
        )
    array = np.asarray(column)
    if array.dtype.kind not in "biuf":
        raise Unreadable(
            f"{path}: column {name!r} holds {array.dtype}, expected numbers; name the "
            f"numeric columns, as in {path.name}#x,y"
        )
    return array.astype(np.float64)
