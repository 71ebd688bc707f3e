"""The folder of an answer. It is written whole beside its place, then moved there."""

import os
import secrets
import shlex
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import _certificate, _data, _show
from ._refusal import Refusal

ANSWER = "answer.lemma"
SUMMARY = "solution.json"
CHECKPOINT = "checkpoint.zip"
_ARRAYS = ("value", "problem")  # folders of .npy files, wholly ours


@dataclass(frozen=True)
class Question:
    """What the user gave: system, files of arrays, and options of the problem."""

    slug: str
    files: Mapping[str, str]
    parameters: Mapping[str, Any]


def reserve(folder: Path) -> Path:
    """Refuses, before any work is done, a place where nothing can be written."""
    if folder.exists() and not folder.is_dir():
        raise Refusal(f"{folder} is a file; name a folder with -o.")
    place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise Refusal(f"Nothing can be written to {folder}; name another with -o.")
    return folder


def write(folder: Path, solution: Any, question: Question) -> dict[str, Any]:
    """Writes certificate, arrays and summary. Returns the summary as in the file."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.parent / f".{folder.name}-{secrets.token_hex(6)}"
    staging.mkdir()
    try:
        solution.save(staging / ANSWER)
        packed = solution.problem.pack()
        for name, array in _disclosed(solution).items():
            _save(staging / "value" / f"{name}.npy", array)
        converted = _to_convert(staging / ANSWER, packed.arrays, question.files)
        for name in converted:
            _save(staging / "problem" / f"{name}.npy", packed.arrays[name])
        summary = describe(solution, question, packed)
        summary["files"] = {
            "certificate": str(folder / ANSWER),
            "value": sorted(
                str(folder / "value" / p.name) for p in _npy(staging, "value")
            ),
        }
        summary["check"] = _command(folder, question, packed, converted)
        summary["notes"] = _notes(folder, question.files, converted)
        text = _show.as_json(summary) + "\n"
        (staging / SUMMARY).write_text(text, encoding="utf-8")
        _move(staging, folder)
        return summary
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def describe(solution: Any, question: Question, packed: Any) -> dict[str, Any]:
    """What is known about an answer, without its arrays."""
    from ..core import describe as options

    return {
        "format": "lemmata-solution/1",
        "system": question.slug,
        "problem": {
            "name": type(solution.problem).__name__,
            "kind": packed.kind,
            "parameters": packed.json,
            "arrays": {name: list(a.shape) for name, a in packed.arrays.items()},
            "files": dict(question.files),
        },
        "method": options(solution.method),
        "key": solution.key,
        "result": {
            "name": solution.result.name,
            "sentence": solution.result.sentence,
        },
        "certified": solution.certified,
        **_certificate.as_json(solution.certificate),
        "stats": {
            "steps": solution.stats.steps,
            "stages": solution.stats.stages,
            "seconds": dict(solution.stats.seconds),
        },
    }


def _disclosed(solution: Any) -> dict[str, np.ndarray]:
    allowed = solution.problem.disclosed()
    arrays = solution.value.pack().items()
    return {n: a for n, a in arrays if allowed is None or f"value/{n}" in allowed}


def _to_convert(
    certificate: Path, arrays: Mapping[str, np.ndarray], files: Mapping[str, str]
) -> list[str]:
    """Arrays that the judge needs as files and does not have in a form it can read."""
    from ..data import judge_reads

    with zipfile.ZipFile(certificate) as archive:
        embedded = any(name.startswith("problem/") for name in archive.namelist())
    foreign = [
        name for name in files if name in arrays and not judge_reads(files[name])
    ]
    given = {*files, *(f"{name}_{part}" for name in files for part in _data.PARTS)}
    given |= {name for name in arrays if _data.stem(name) in files}
    absent = [] if embedded else [name for name in arrays if name not in given]
    return foreign + absent


def _names(name: str, arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether the problem has an array of this name, a sparse matrix, or a network."""
    if any(name == _data.stem(array) for array in arrays):
        return True
    return all(f"{name}_{part}" in arrays for part in _data.PARTS)


def _command(
    folder: Path, question: Question, packed: Any, converted: list[str]
) -> str:
    """`lemmata-check` on the user's data: a digest may certify an easier problem."""
    given = question.files.items()
    files = {name: f for name, f in given if _names(name, packed.arrays)}
    files |= {name: str(folder / "problem" / f"{name}.npy") for name in converted}
    pairs = [f"{name}={file}" for name, file in files.items()]
    for name in question.parameters:
        if name in packed.json and name not in files:
            pairs.append(f"{name}={_text(packed.json[name])}")
    words = ["lemmata-check", str(folder / ANSWER)]
    return shlex.join(words + [word for pair in pairs for word in ("--problem", pair)])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else " ".join(_show.as_json(value).split())


def _notes(folder: Path, files: Mapping[str, str], converted: list[str]) -> list[str]:
    notes = []
    for name in converted:
        place = folder / "problem" / f"{name}.npy"
        if name in files:
            notes.append(
                f"lemmata-check cannot read {files[name]}; converted to {place}, "
                "which you may want to compare with your own reading of it."
            )
        else:
            notes.append(
                f"The problem is too large to travel in the certificate; {name} was "
                f"written to {place}, where lemmata-check finds it."
            )
    return notes


def _save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    np.save(path, array, allow_pickle=False)


def _npy(folder: Path, group: str) -> list[Path]:
    return sorted((folder / group).glob("*.npy"))


def _move(staging: Path, folder: Path) -> None:
    """A new folder appears at once; in an old one each file is replaced, ours last."""
    if not folder.exists():
        os.rename(staging, folder)
        return
    for group in _ARRAYS:
        fresh = {path.name for path in _npy(staging, group)}
        for path in _npy(folder, group):
            if path.name not in fresh:
                path.unlink()
        for path in _npy(staging, group):
            (folder / group).mkdir(exist_ok=True)
            os.replace(path, folder / group / path.name)
    for name in (SUMMARY, ANSWER):
        os.replace(staging / name, folder / name)
