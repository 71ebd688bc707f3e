"""ECLipsE (Xu and Sivaranjani, NeurIPS 2024), in an interpreter of its own.

It needs torch. `LEMMATA_ECLIPSE_PYTHON` names an interpreter that has `eclipse-nn`;
without it this peer is left out. Slopes in [0, 1] alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

VARIABLE = "LEMMATA_ECLIPSE_PYTHON"
METHODS = ("ECLipsE", "ECLipsE_Fast")
ROUNDS = 3


def available() -> bool:
    """Whether the variable names an interpreter."""
    return Path(os.environ.get(VARIABLE, "/nowhere")).exists()


def eclipse(weights: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Bound, and median seconds in a warm process, by method."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "weights.npz")
        np.savez(path, *weights)
        command = [os.environ[VARIABLE], __file__, path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(path: str) -> None:
    """What the other interpreter runs."""
    import torch  # pyright: ignore[reportMissingImports]
    from eclipse_nn.LipConstEstimator import (  # pyright: ignore[reportMissingImports]
        LipConstEstimator,
    )

    torch.set_num_threads(os.cpu_count() or 1)
    arrays = np.load(path)
    weights = [torch.tensor(arrays[name]) for name in arrays.files]
    found = {}
    for method in METHODS:
        seconds, bound = [], np.nan
        for _ in range(ROUNDS + 1):
            start = time.perf_counter()
            bound = float(LipConstEstimator(weights=weights).estimate(method))
            seconds.append(time.perf_counter() - start)
        found[method] = {"bound": bound, "seconds": float(np.median(seconds[1:]))}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
