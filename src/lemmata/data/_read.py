"""One array from one file, whatever its format."""

import os
from pathlib import Path

import numpy as np

from lemmata_checker.readers import (
    CSR,
    read_array as read_plain,
    read_sparse as read_plain_sparse,
)

from ._images import SUFFIXES as IMAGES, read_image
from ._tables import SUFFIXES as TABLES, read_parquet


def read_array(file: str | os.PathLike[str]) -> np.ndarray:
    """Reads `.npy .npz .csv .tsv .mtx` (the checker's own readers), `.parquet`, images.

    A part of a file is named after `#`: `arrays.npz#cost`, `table.parquet#weight`,
    `photo.png#colours=1000`.

    **Raises:** `lemmata_checker.Unreadable` with a sentence that says what to do.
    """
    text = os.fspath(file)
    path, part = split(text)
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return read_parquet(path, part)
    if suffix in IMAGES:
        return read_image(path, part)
    return read_plain(text)


def read_matrix(file: str | os.PathLike[str]) -> np.ndarray | CSR:
    """As `read_array`; but a Matrix Market file of coordinates gives its sparse matrix.

    **Raises:** `lemmata_checker.Unreadable`.
    """
    if Path(file).suffix.lower() == ".mtx" and _is_coordinate(Path(file)):
        return read_plain_sparse(os.fspath(file))
    return read_array(file)


def _is_coordinate(path: Path) -> bool:
    """Whether the first line says so; a file that cannot be read says nothing."""
    try:
        with open(path, "rb") as stream:
            banner = stream.readline(200).lower().split()
    except OSError:
        return False
    return banner[2:3] == [b"coordinate"]


def judge_reads(file: str | os.PathLike[str]) -> bool:
    """Whether `lemmata-check`, which has only NumPy, can read the file too."""
    suffix = split(os.fspath(file))[0].suffix.lower()
    return suffix not in TABLES and suffix not in IMAGES


def split(text: str) -> tuple[Path, str | None]:
    """`file#part` as file and part; a file that is called so comes first."""
    file, mark, part = text.rpartition("#")
    if mark and not os.path.lexists(text):
        return Path(file), part
    return Path(text), None
