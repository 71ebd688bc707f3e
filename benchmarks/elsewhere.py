"""Peers that need an interpreter of their own."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def printed(
    variable: str, script: str | Path, arrays: dict[str, Any], *arguments: str
) -> Any:
    """What a script prints, in its last line, as JSON; None where there is no Python.

    **Arguments:** `variable`: of the environment, names the interpreter; `arrays`: in a
    file whose path is the script's first argument, before `arguments`.
    """
    python = os.environ.get(variable)
    if not python:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "arrays.npz")
        np.savez(path, **arrays)
        command = [python, str(script), path, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
