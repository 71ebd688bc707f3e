"""Solutions to and from `.lemma` files."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lemmata_checker import document as documents
from lemmata_checker.document import Document
from lemmata_checker.errors import Unreadable
from lemmata_checker.packed import Packed, digest

from .. import catalogue
from ._certificate import Certificate, bare_name, judge
from ._claim import JUDGED, Claim, Outcome, Withheld
from ._describe import describe
from ._errors import Undisclosable, UnreadableFile
from ._solution import Solution, Stats
from ._versions import versions

EMBED_BYTES = 256 * 1024**2  # above this the problem travels as its digest


def write(solution: Solution, path: Path, *, embed: bool | None) -> Path:
    """Writes the document that the checker reads; see `Solution.save`."""
    document = to_document(solution, embed)
    _refuse_secrets(solution.problem, document)
    documents.write(path, document)
    return path


def to_document(solution: Solution, embed: bool | None) -> Document:
    """The solution as the checker's document."""
    problem, value = solution.problem.pack(), solution.value.pack()
    if embed is None:
        embed = sum(a.nbytes for a in problem.arrays.values()) <= EMBED_BYTES
    claims, witness = _claims(solution.certificate.claims, value)
    method = describe(solution.method)
    return Document(
        system=catalogue.system_of(problem.kind),
        problem=problem,
        embedded=embed,
        claims=claims,
        withheld=[
            {"id": w.id, "reason": w.reason} for w in solution.certificate.withheld
        ],
        uncertified=[f"value/{name}" for name in solution.value.uncertified()],
        method=method and {"name": method.pop("kind"), "options": method},
        key=solution.key,
        result={"name": solution.result.name, "sentence": solution.result.sentence},
        stats={
            "steps": solution.stats.steps,
            "seconds": dict(solution.stats.seconds),
        },
        versions=versions(),
        value=value,
        witness=witness,
        trace={name: np.asarray(a) for name, a in solution.stats.trace.items()},
    )


def _claims(
    claims: Iterable[Claim], value: dict[str, np.ndarray]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Claims as JSON; a witness that is an array of the value is only referred to."""
    records, stored = [], {}
    for index, claim in enumerate(claims):
        references = {}
        for name, array in claim.witness.items():
            array = np.asarray(array)
            if name in value and np.array_equal(array, value[name]):
                references[name] = f"value/{name}"
            else:
                member = f"{index}_{bare_name(claim.id)}_{name}"[:64]
                stored[member] = array
                references[name] = f"witness/{member}"
        records.append(
            {
                "id": claim.id,
                "promised": float(claim.promised),
                "parameters": dict(claim.parameters),
                "witness": references,
            }
        )
    return records, stored


def _refuse_secrets(problem: Any, document: Document) -> None:
    allowed = problem.disclosed()
    if allowed is None:
        return
    groups = ("value", "witness", "trace")
    names = [f"{g}/{name}" for g in groups for name in getattr(document, g)]
    if document.embedded:
        names += [f"problem/{name}" for name in document.problem.arrays]
    for name in names:
        if name not in allowed:
            raise Undisclosable(
                f"{type(problem).__name__} does not disclose {name}; nothing was "
                "written. Leave it out, or declare it in the problem."
            )


def load(path: str | os.PathLike[str], *, problem: Any = None) -> Solution:
    """Reads a `.lemma` file back and has every claim decided again.

    **Arguments:**

    - `path`: a file written by `Solution.save`.
    - `problem`: the user's own problem; needed where the file has only its digest, and
      judged instead of the embedded one where given.

    **Raises:** `UnreadableFile` with a sentence that says what to do.
    """
    try:
        document = documents.read(Path(path))
    except Unreadable as error:
        raise UnreadableFile(str(error)) from error
    try:
        return _rebuild(path, document, problem)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UnreadableFile(f"{path} does not fit its problem: {error}") from error


def _rebuild(
    path: str | os.PathLike[str], document: Document, problem: Any
) -> Solution:
    if problem is None:
        if not document.embedded:
            raise UnreadableFile(
                f"{path} holds only the digest of its problem; pass problem=... ."
            )
        problem = _unpack(document.problem, path)
    elif digest(problem.pack()) != document.digest:
        raise UnreadableFile(f"{path} certifies an answer to another problem.")
    value = problem.value_from(document.value)
    certificate = _judge_again(problem, value, document)
    result = JUDGED if document.result is None else Outcome(**document.result)
    stats = Stats(
        document.stats.get("steps", 0), 1, document.stats["seconds"], document.trace
    )
    return Solution(problem, None, value, result, certificate, stats, document.key)


def _unpack(packed: Packed, path: str | os.PathLike[str]) -> Any:
    try:
        found = catalogue.problem_class(packed.kind)
    except catalogue.UnknownSystem as error:
        raise UnreadableFile(f"{path}: {error}; pass problem=... .") from error
    return found.unpack(packed.json, packed.arrays)


def _judge_again(problem: Any, value: Any, document: Document) -> Certificate:
    def resolve(reference: str) -> np.ndarray:
        group, _, name = reference.partition("/")
        return getattr(document, group)[name]

    claims: list[Claim | Withheld] = [
        Claim(
            record["id"],
            record["promised"],
            {name: resolve(ref) for name, ref in record["witness"].items()},
            record["parameters"],
        )
        for record in document.claims
    ]
    claims += [Withheld(w["id"], w["reason"]) for w in document.withheld]
    return judge(problem, value, claims, document.trace)
