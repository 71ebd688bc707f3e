"""Remakes the network that ships: `python tools/train_directions.py`.

Empty 32 x 32 grid, 600 right-hand sides by Lanczos' iteration, 600 steps of Adam.
Other processors round differently, so the file may differ too.
"""

import sys
from pathlib import Path

import numpy as np

import lemmata as lm

FILE = Path(lm.__file__).parent / "data" / "directions_2d.npz"


def main() -> None:
    """Trains, prints the certificate, writes the file."""
    linear = lm.linear
    box = linear.GridPoisson(np.full((32, 32), linear.FLUID), np.zeros((32, 32)))
    method = linear.TrainDirections(steps=600, sizes=(1, 2, 4))
    solution = linear.train_direction_network(
        box, count=600, loss_tol=0.01, method=method, progress=True
    )
    solution.value.network.save(FILE)
    sys.stdout.write(f"{solution}\n{FILE}: {FILE.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
