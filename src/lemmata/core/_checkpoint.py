"""Checkpoints: a zip of arrays with a header, written atomically.

A run resumes only where it would give the same bits: same problem, method, key,
versions, platform and device count. Everything else is a `CheckpointMismatch`.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ._errors import CheckpointMismatch, UnreadableFile
from ._versions import versions

FORMAT = "lemmata-checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands: identity (what must agree), position, state, trace."""

    identity: dict[str, Any]
    steps: int
    stage: int
    state: dict[str, np.ndarray]
    trace: dict[str, np.ndarray]


def identity(problem: Any, method: Any, key: Any, options: Any) -> dict[str, Any]:
    """What must agree between the run that wrote and the run that resumes."""
    return {
        "problem": problem,
        "method": method,
        "options": options,
        "key": key,
        "versions": versions(),
        "platform": jax.default_backend(),
        "device_count": jax.device_count(),
    }


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes to a temporary file beside `path`, then renames it."""
    header = {
        "format": FORMAT,
        "identity": checkpoint.identity,
        "steps": checkpoint.steps,
        "stage": checkpoint.stage,
        "state": list(checkpoint.state),
        "trace": list(checkpoint.trace),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix="~")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("header.json", json.dumps(header))
            for group in ("state", "trace"):
                for index, array in enumerate(getattr(checkpoint, group).values()):
                    buffer = BytesIO()
                    np.lib.format.write_array(buffer, array, allow_pickle=False)
                    archive.writestr(f"{group}/{index}.npy", buffer.getvalue())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path, expected: Mapping[str, Any]) -> Checkpoint:
    """Reads a checkpoint of the very run that `expected` identifies."""
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read("header.json"))
            _compare(path, header, expected)
            groups = {
                group: {
                    name: np.lib.format.read_array(
                        BytesIO(archive.read(f"{group}/{index}.npy")),
                        allow_pickle=False,
                    )
                    for index, name in enumerate(header[group])
                }
                for group in ("state", "trace")
            }
            return Checkpoint(
                header["identity"], header["steps"], header["stage"], **groups
            )
    except (OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        if isinstance(error, CheckpointMismatch):
            raise
        raise UnreadableFile(
            f"{path} is not a readable checkpoint ({error}); delete it to start anew."
        ) from error


def _compare(path: Path, header: Any, expected: Mapping[str, Any]) -> None:
    if header.get("format") != FORMAT:
        raise CheckpointMismatch(f"{path}: format", FORMAT, header.get("format"))
    wanted = json.loads(json.dumps(dict(expected)))
    for field, value in wanted.items():
        found = header["identity"].get(field)
        if found != value:
            raise CheckpointMismatch(f"{path}: {field}", _short(value), _short(found))


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."
