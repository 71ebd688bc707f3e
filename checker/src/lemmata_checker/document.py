"""A certificate as an object; `write` and `read` are its only way to a file."""

import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import archive, npy, record
from .archive import Limits as Limits
from .case import Rule
from .errors import Unreadable
from .packed import Packed, canonical, digest

Arrays = dict[str, np.ndarray]


class Signature(NamedTuple):
    """What an array of the problem looks like: dtype code and shape."""

    dtype: str
    shape: tuple[int, ...]


@dataclass
class Document:
    """Everything that a `.lemma` file says.

    **Fields:**

    - `system`: slug of the system, such as `"transport-sinkhorn-newton"`.
    - `problem`: packed; without arrays if it was read and not embedded.
    - `claims`: records with `id`, `promised`, `parameters` and `witness` (name
      to `"value/…"`, `"witness/…"` or `"trace/…"`); `grade`, `relation` and
      `statement` are the judge's and filled in where absent.
    - `withheld`: records with `id` and `reason`.
    - `uncertified`: those of `"value/…"` that no claim is about.
    - `method` (`name`, `options`), `key`, `result` (`name`, `sentence`), or
      None for an answer from elsewhere; `stats` (`steps`, `seconds` by name)
      and `versions`: as stated.
    - `value`, `witness`, `trace`: name to array.
    - `embedded`: whether the problem's arrays go into the file.
    - `digest`, `arrays`: of the problem; computed from it where not given.
    """

    system: str
    problem: Packed
    claims: list[dict[str, Any]] = field(default_factory=list)
    withheld: list[dict[str, str]] = field(default_factory=list)
    uncertified: list[str] = field(default_factory=list)
    method: dict[str, Any] | None = None
    key: int | list[int] | None = None
    result: dict[str, str] | None = None
    stats: dict[str, Any] = field(default_factory=lambda: {"steps": 0, "seconds": {}})
    versions: dict[str, str] = field(default_factory=dict)
    value: Arrays = field(default_factory=dict)
    witness: Arrays = field(default_factory=dict)
    trace: Arrays = field(default_factory=dict)
    embedded: bool = True
    digest: str = ""
    arrays: dict[str, Signature] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.digest:
            self.digest = digest(self.problem)
        if not self.arrays:
            self.arrays = signatures(self.problem)


def signatures(problem: Packed) -> dict[str, Signature]:
    """Dtype and shape of each array, by name."""
    packed = {name: canonical(problem.arrays[name]) for name in sorted(problem.arrays)}
    return {name: Signature(a.dtype.str, a.shape) for name, a in packed.items()}


def write(
    path: str | Path,
    document: Document,
    rules: Mapping[str, Rule] | None = None,
) -> None:
    """Write a certificate: whole, or not at all.

    **Raises:** `ValueError` or `TypeError` for a document that `read` would
    refuse, one beyond its default limits included; `OSError` if the disk refuses.
    """
    members = _encode(document, _registry(rules))
    path = Path(path)
    # Same folder, so that the rename is atomic; "x" keeps the user's umask.
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(unfinished, "xb") as stream:
            archive.pack(stream, members)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(
    path: str | Path,
    limits: Limits | None = None,
    rules: Mapping[str, Rule] | None = None,
) -> Document:
    """Read a certificate; whatever comes back is exactly what was written.

    Arrays are read-only. **Raises:** `Unreadable`, one sentence.
    """
    limits = limits or Limits()
    members = archive.unpack(path, limits)
    _, text = next(members)
    _, seal = next(members)
    if seal != _seal(text):
        raise Unreadable("certificate.json does not have the digest that seals it")
    content = record.decode(text, limits.json_depth)
    record.validate(content, _registry(rules))
    stated, arrays = content["members"], {}
    for name, data in members:
        if hashlib.sha256(data).hexdigest() != stated.get(name):
            raise Unreadable(f"{name} does not have the digest that is stated for it")
        try:
            arrays[name] = npy.decode(data)
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from error
    if list(arrays) != list(stated):
        raise Unreadable("the members are not those that certificate.json lists")
    document = _assemble(content, arrays)
    if document.problem.arrays and not document.embedded:
        raise Unreadable("the problem is embedded, although problem.embedded is false")
    _cross_check(document)
    return document


def _encode(
    document: Document, rules: Mapping[str, Rule]
) -> dict[str, list[archive.Buffer]]:
    """The members of a document, validated as a reader would."""
    members: dict[str, list[archive.Buffer]] = {}
    folders = {
        "problem": document.problem.arrays if document.embedded else {},
        "value": document.value,
        "witness": document.witness,
        "trace": document.trace,
    }
    for folder, arrays in folders.items():
        for name, array in arrays.items():
            if not archive.MEMBER.fullmatch(path := f"{folder}/{name}.npy"):
                raise ValueError(f"{path!r} is no name of a member")
            array = canonical(array)
            header = npy.encode_header(array.dtype.str, array.shape)
            members[path] = [header, array.reshape(-1).view(np.uint8).data]
    text = record.encode(_content(document, members, rules))
    limits = Limits()
    size = len(text) + sum(len(part) for parts in members.values() for part in parts)
    if len(text) > limits.json_bytes or len(members) + 2 > limits.members:
        raise ValueError("the record or the number of arrays is beyond the limits")
    if size > limits.file_bytes * 0.99:  # the rest is room for names
        raise ValueError(f"{size} bytes are beyond the limit; do not embed the problem")
    try:
        record.validate(record.decode(text, limits.json_depth), rules)
        _cross_check(document)
    except Unreadable as error:
        raise ValueError(f"no reader would accept this document: {error}") from error
    return {archive.CERTIFICATE: [text], archive.SEAL: [_seal(text)], **members}


def _content(
    document: Document,
    members: Mapping[str, list[archive.Buffer]],
    rules: Mapping[str, Rule],
) -> dict[str, Any]:
    """The record, in the order of `record.FIELDS`."""
    problem = {
        "kind": document.problem.kind,
        "json": document.problem.json,
        "digest": document.digest,
        "embedded": document.embedded,
        "arrays": {name: s._asdict() for name, s in document.arrays.items()},
    }
    own = {name: getattr(document, name) for name in record.FIELDS[4:-1]}
    return {
        "format": record.FORMAT,
        "system": document.system,
        "problem": problem,
        "claims": [_stated(claim, rules) for claim in document.claims],
        **own,
        "members": {name: _sha256(members[name]) for name in sorted(members)},
    }


def _stated(claim: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, Any]:
    rule = rules.get(claim.get("id", ""))
    own = {name: getattr(rule, name, "") for name in ("grade", "relation", "statement")}
    full = own | {"parameters": {}, "witness": {}} | dict(claim)
    extra = [name for name in full if name not in record.CLAIM]
    return {name: full[name] for name in (*record.CLAIM, *extra) if name in full}


def _assemble(content: dict[str, Any], arrays: Arrays) -> Document:
    """The document of a validated record."""
    folders: dict[str, Arrays] = {
        f: {} for f in ("problem", "value", "witness", "trace")
    }
    for path, array in arrays.items():
        folder, name = path.removesuffix(".npy").split("/")
        folders[folder][name] = array
    problem = content["problem"]
    stated = problem["arrays"].items()
    return Document(
        system=content["system"],
        problem=Packed(problem["kind"], problem["json"], folders["problem"]),
        embedded=problem["embedded"],
        digest=problem["digest"],
        arrays={n: Signature(s["dtype"], tuple(s["shape"])) for n, s in stated},
        **{name: content[name] for name in record.FIELDS[3:-1]},
        value=folders["value"],
        witness=folders["witness"],
        trace=folders["trace"],
    )


def _cross_check(document: Document) -> None:
    """That record and arrays speak of the same things."""
    problem = document.problem
    if document.embedded or problem.arrays or not document.arrays:
        if signatures(problem) != document.arrays:
            raise Unreadable("problem.arrays does not describe the problem's arrays")
        if digest(problem) != document.digest:
            raise Unreadable("the problem does not have the stated digest")
    folders = {f: getattr(document, f) for f in ("value", "witness", "trace")}
    present = {f"{folder}/{name}" for folder in folders for name in folders[folder]}
    used = {
        path for claim in document.claims for path in claim.get("witness", {}).values()
    }
    used |= set(document.uncertified)
    for path in sorted(used - present):
        raise Unreadable(f"{path} is referred to, but is not in the file")
    for path in sorted(present - used):
        if path.startswith("witness/"):
            raise Unreadable(f"{path} is in the file, but no claim refers to it")


def _registry(rules: Mapping[str, Rule] | None) -> Mapping[str, Rule]:
    if rules is None:
        from .rules import RULES as rules  # loads every room's rules: only if asked
    return rules


def _seal(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode("ascii") + b"\n"


def _sha256(buffers: list[archive.Buffer]) -> str:
    hasher = hashlib.sha256()
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.hexdigest()
