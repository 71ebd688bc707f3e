"""ECLipsE (Xu and Sivaranjani, NeurIPS 2024), in an interpreter of its own.

It needs torch. `LEMMATA_ECLIPSE_PYTHON` names an interpreter that has `eclipse-nn`;
without it this peer is left out. Slopes in [0, 1] alone.
"""

import json
import os
import sys
import time

import numpy as np

VARIABLE = "LEMMATA_ECLIPSE_PYTHON"
METHODS = ("ECLipsE", "ECLipsE_Fast")
ROUNDS = 3


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
