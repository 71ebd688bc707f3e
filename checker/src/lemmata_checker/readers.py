"""Users' own files as arrays: bounded, without pickle, and with plain errors.

Formats by suffix: `.npy`, `.npz` (`file.npz#name`), `.csv`, `.tsv`, and Matrix
Market's `.mtx` (dense through `read_array`, sparse through `read_sparse`).
"""

import os
import stat
import zipfile
import zlib
from pathlib import Path

import numpy as np

from . import npy
from .errors import Unreadable
from .matrix_market import CSR as CSR, parse_dense, parse_sparse
from .packed import DTYPES, canonical
from .tables import parse_table

MAX_BYTES = 2**31  # of a file, and of what it unpacks to
MAX_TEXT_BYTES = 2**29  # numbers as text take several times their size in memory


def read_array(path: str | Path, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read one array of numbers.

    **Arguments:**

    - `path`: the file; `file.npz#name` picks one array of several.
    - `max_bytes`: refuse a larger file, and one that unpacks to more.

    **Returns:** little-endian, C order. Text gives float64, each number rounded
    to nearest; a table of one column gives shape `(n,)`.

    **Raises:** `Unreadable`, a sentence that names the file, and line and
    column where there are any.
    """
    path, name = _split(path)
    try:
        match path.suffix.lower():
            case ".npy":
                return _numbers(_load(path, max_bytes))
            case ".npz":
                return _from_npz(path, name, max_bytes)
            case ".csv" | ".tsv" as suffix:
                text = _text(path, max_bytes)
                return parse_table(text, "," if suffix == ".csv" else "\t")
            case ".mtx":
                return parse_dense(_text(path, max_bytes))
            case _:
                raise Unreadable("expected .npy, .npz, .csv, .tsv or .mtx")
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error


def read_sparse(path: str | Path, max_bytes: int = MAX_BYTES) -> CSR:
    """Read a sparse real matrix, Matrix Market `coordinate`, as CSR.

    Symmetric halves are completed, column indices sorted.

    **Raises:** `Unreadable`, also for an entry that comes twice.
    """
    path = Path(path)
    try:
        if path.suffix.lower() != ".mtx":
            raise Unreadable("expected .mtx")
        return parse_sparse(_text(path, max_bytes))
    except Unreadable as error:
        raise Unreadable(f"{path}: {error}") from error


def read_bytes(path: str | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """A file's bytes, if it is a file and not too large. Raises `Unreadable`."""
    return _load(Path(path), max_bytes)


def _split(path: str | Path) -> tuple[Path, str | None]:
    """`file.npz#name` as file and name; a file that is called so comes first."""
    text = os.fspath(path)
    file, mark, name = text.rpartition("#")
    if mark and file.lower().endswith(".npz") and not os.path.lexists(text):
        return Path(file), name
    return Path(text), None


def _size(path: Path, max_bytes: int) -> int:
    """The size of a file that may be read."""
    try:
        found = os.stat(path)
    except FileNotFoundError as error:
        raise Unreadable("no such file") from error
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be read: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("not a file")
    if found.st_size > max_bytes:
        raise Unreadable(f"{found.st_size} bytes, more than the limit {max_bytes}")
    return found.st_size


def _load(path: Path, max_bytes: int) -> bytes:
    size = _size(path, max_bytes)
    try:
        with open(path, "rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error


def _text(path: Path, max_bytes: int) -> str:
    data = _load(path, min(max_bytes, MAX_TEXT_BYTES))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8 text") from error


def _numbers(data: bytes) -> np.ndarray:
    header = npy.parse_header(data)
    if header.dtype.lstrip("<>=|")[0] not in "biuf":
        raise Unreadable(
            f"holds {header.dtype!r}, expected real numbers; no pickle here"
        )
    try:
        dtype = np.dtype(header.dtype)
        array = npy.view(data, header, dtype)
        if dtype.kind == "f" and dtype.itemsize == 2:
            array = array.astype("<f4")
        if dtype.kind in "iu" and dtype.newbyteorder("<").str not in DTYPES:
            fits = dtype.itemsize < 8 or not array.size or array.max() < 2**63
            array = array.astype("<i8") if fits else array
        return canonical(array)
    except TypeError as error:
        message = f"holds {header.dtype!r}: save it as float64 or int64"
        raise Unreadable(message) from error


def _from_npz(path: Path, name: str | None, max_bytes: int) -> np.ndarray:
    _size(path, max_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = {i.filename.removesuffix(".npy"): i for i in archive.infolist()}
            if name is None and len(infos) == 1:
                name = next(iter(infos))
            if name not in infos:
                has = ", ".join(sorted(infos)[:20]) or "nothing"
                raise Unreadable(f"holds {has}: name one array, {path.name}#NAME")
            with archive.open(infos[name]) as stream:
                data = stream.read(max_bytes + 1)  # the stated size may lie
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,  # an encrypted member
        ValueError,
    ) as error:
        raise Unreadable(f"not a readable npz file: {error}") from error
    if len(data) > max_bytes:
        raise Unreadable(f"{name} unpacks to more than the limit, {max_bytes} bytes")
    return _numbers(data)
