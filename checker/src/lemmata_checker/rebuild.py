"""The problem again, from the user's own data."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .document import Document, Signature, signatures
from .errors import BadRequest, Unreadable
from .packed import Packed, canonical, digest
from .readers import CSR, read_array, read_sparse

EMBEDDED = "embedded"
IDENTICAL = "yours, identical"
DIFFERENT = "yours, different"
UNKNOWN = "yours"  # nothing embedded to compare with, and the digest differs


class Source(NamedTuple):
    """Where one piece of the problem came from, and what it is."""

    name: str
    content: str
    origin: str


class Rebuilt(NamedTuple):
    """The problem to judge, its sources, and whether it is the one certified."""

    problem: Packed
    sources: tuple[Source, ...]
    same: bool


def rebuild(document: Document, given: Mapping[str, str]) -> Rebuilt:
    """Replace pieces of the problem by the user's.

    **Raises:** `BadRequest` for a name that the problem does not have, a value
    that does not fit, and arrays that are neither embedded nor given;
    `Unreadable` for a file.
    """
    certified = document
    document, given, network = _with_network(document, given)
    problem = document.problem
    known = [*document.arrays, *problem.json]
    sparse = {name: given[name] for name in given if _is_sparse(name, document)}
    for name in given:
        if name not in known and name not in sparse:
            has = ", ".join(known) or "nothing"
            raise BadRequest(f"the problem has no {name!r}; it has {has}")
    parts = _sparse_parts(sparse)
    given = {name: f for name, f in given.items() if name not in sparse} | parts
    _require_all(document, given)
    matrices = {name: _read_sparse(name, file) for name, file in sparse.items()}
    read = {
        f"{name}_{part}": getattr(matrix, part)
        for name, matrix in matrices.items()
        for part in _PARTS
    }
    arrays = {
        name: _array(name, given[name], signature, read.get(name))
        if name in given
        else problem.arrays[name]
        for name, signature in document.arrays.items()
    }
    fields = {
        name: _field(name, given[name], stated) if name in given else stated
        for name, stated in problem.json.items()
    }
    rebuilt = Packed(problem.kind, fields, arrays)
    same = not (given or network) or digest(rebuilt) == document.digest
    origins = given | dict.fromkeys(network, "")
    return Rebuilt(rebuilt, _sources(certified, rebuilt, origins, same), same)


def _with_network(
    document: Document, given: Mapping[str, str]
) -> tuple[Document, dict[str, str], list[str]]:
    """The document with the network of an ONNX file instead of its own.

    **Returns:** it, what else was given, and the names of what came from the file.
    """
    given, stated = dict(given), document.problem.json.get("network")
    file = given.get("network", "")
    if not (file.lower().endswith(".onnx") and isinstance(stated, dict)):
        return document, given, []
    from .onnx import read_onnx  # rarely needed

    try:
        content, parts = read_onnx(given.pop("network"))
    except Unreadable as error:
        raise Unreadable(f"problem 'network': {error}") from error
    old = document.problem
    kept = {n: s for n, s in document.arrays.items() if not _NETWORK.fullmatch(n)}
    held = {n: a for n, a in old.arrays.items() if n in kept}
    fresh = signatures(Packed(old.kind, {}, parts))
    problem = Packed(old.kind, old.json | {"network": content}, held | parts)
    changed = replace(document, problem=problem, arrays=kept | fresh)
    return changed, given, ["network", *parts]


_NETWORK = re.compile(r"network_[0-9]+_(weight|bias)")
_PARTS = ("data", "indices", "indptr")


def _is_sparse(name: str, document: Document) -> bool:
    """Whether the problem has a matrix of this name, in compressed rows."""
    return name not in document.arrays and all(
        f"{name}_{part}" in document.arrays for part in _PARTS
    )


def _sparse_parts(sparse: Mapping[str, str]) -> dict[str, str]:
    """The file of each array that a sparse matrix's file replaces."""
    return {f"{name}_{part}": file for name, file in sparse.items() for part in _PARTS}


def _read_sparse(name: str, file: str) -> CSR:
    try:
        return read_sparse(file)
    except Unreadable as error:
        raise Unreadable(f"problem {name!r}: {error}") from error


def _sources(
    document: Document, rebuilt: Packed, given: Mapping[str, str], same: bool
) -> tuple[Source, ...]:
    sources = []
    for name, array in rebuilt.arrays.items():
        size = " x ".join(str(size) for size in array.shape) or "scalar"
        origin = EMBEDDED
        if name in given:
            origin = _origin(array, document.problem.arrays.get(name), same)
        sources.append(Source(name, f"{array.dtype.name}, {size}", origin))
    for name, value in rebuilt.json.items():
        text = json.dumps(value)
        equal = text == json.dumps(document.problem.json[name])
        origin = (IDENTICAL if equal else DIFFERENT) if name in given else EMBEDDED
        sources.append(Source(name, text, origin))
    return tuple(sources)


def _origin(array: np.ndarray, embedded: np.ndarray | None, same: bool) -> str:
    if embedded is None:
        return IDENTICAL if same else UNKNOWN
    layout = (array.dtype, array.shape) == (embedded.dtype, embedded.shape)
    # Bytes, as in the digest: 0.0 and -0.0 differ, a NaN equals itself.
    one, other = (entry.reshape(-1).view(np.uint8) for entry in (array, embedded))
    return IDENTICAL if layout and np.array_equal(one, other) else DIFFERENT


def _require_all(document: Document, given: Mapping[str, str]) -> None:
    missing = [
        name
        for name in document.arrays
        if name not in given and name not in document.problem.arrays
    ]
    if missing:
        options = " ".join(f"--problem {name}=FILE" for name in missing)
        kinds = ", ".join(
            f"{name}: {np.dtype(document.arrays[name].dtype).name}, "
            f"shape {document.arrays[name].shape}"
            for name in missing
        )
        raise BadRequest(f"the problem is not embedded; supply {options} ({kinds})")


def _array(
    name: str, path: str, signature: Signature, array: np.ndarray | None = None
) -> np.ndarray:
    """The user's array in the problem's dtype, if that loses nothing.

    `array`: what the file holds, where it has been read already.
    """
    try:
        array = read_array(path) if array is None else array
    except Unreadable as error:
        raise Unreadable(f"problem {name!r}: {error}") from error
    dtype = np.dtype(signature.dtype)
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
        same = np.array_equal(cast.astype(array.dtype), array, equal_nan=True)
    if array.dtype.kind in "iu" and dtype.kind == "f" and array.size:
        # An integer beyond the largest float can survive the way there and back.
        exact = 2 ** (np.finfo(dtype).nmant + 1)
        same &= -exact <= int(array.min()) and int(array.max()) <= exact
    if not same:
        raise BadRequest(
            f"problem {name!r}: {path} holds {array.dtype.name} numbers that "
            f"{dtype.name}, as certified, cannot hold exactly; convert the file as "
            "you converted it for solving"
        )
    long_axes = [tuple(n for n in s if n != 1) for s in (cast.shape, signature.shape)]
    if long_axes[0] == long_axes[1]:  # a column of a table for a vector
        cast = cast.reshape(signature.shape)
    return canonical(cast)


def _field(name: str, text: str, stated: Any) -> Any:
    """The user's value for a JSON field, in the type that the field has."""
    if isinstance(stated, str):
        return text
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        value = math.nan
    if type(stated) is float and type(value) is int and abs(value) <= 2**53:
        return float(value)
    both = {type(value), type(stated)}
    fits = len(both) == 1 or both == {int, float} or type(None) in both
    if value is math.nan or not fits:
        raise BadRequest(
            f"problem {name!r}: {text!r} does not fit; certified is {stated!r}"
        )
    return value
