"""A heat source on a circle, simulated while the solver learns its own relaxation.

Diffusion comes in gusts, so no fixed relaxation suits all steps. Each step is one
linear system; the policy sees iteration counts and the diffusion coefficient, nothing
else. Every solution is judged.

    python examples/heat_equation.py [FOLDER]

writes `heat.png` (temperature at six times, and below the iterations of each step) and
`heat.lemma`. Needs the extra `studies`.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import lemmata as lm
from lemmata.linear import (
    SSORPCG,
    ChebCB,
    FixedRelaxation,
    LearnedRelaxation,
    moving_heat_source,
)

NX, STEPS, FRAMES, ZOOM = 50, 1000, 6, 5


def main(folder: Path) -> None:
    problem = moving_heat_source(NX, STEPS)
    low, high = float(problem.diffusion.min()), float(problem.diffusion.max())
    learned = LearnedRelaxation(SSORPCG(), ChebCB((low, high)))
    solution = lm.solve(problem, learned)
    print(solution)
    for relaxation in (1.0, 1.5):
        fixed = LearnedRelaxation(SSORPCG(), FixedRelaxation(relaxation))
        total = int(lm.solve(problem, fixed).value.counts.sum())
        print(f"iterations at a fixed relaxation of {relaxation}: {total}")
    print(f"iterations while learning: {int(solution.value.counts.sum())}")
    solution.save(folder / "heat.lemma")
    picture(solution.value).save(folder / "heat.png", optimize=True)
    print(f"wrote {folder / 'heat.png'} and {folder / 'heat.lemma'}")


def picture(value) -> Image.Image:
    """Six temperatures side by side, each on its own scale, and the counts as bars."""
    when = np.linspace(0, STEPS - 1, FRAMES).astype(int)
    fields = value.solutions[when].reshape(FRAMES, NX - 1, NX - 1)
    frames = [np.kron(f / f.max(), np.ones((ZOOM, ZOOM))) for f in fields]
    top = heat_colours(np.hstack(frames))
    height, width = 120, top.shape[1]
    counts = value.counts[(np.arange(width) * STEPS) // width]
    level = height * (1 - counts / counts.max())
    bars = np.where(np.arange(height)[:, None] >= level, 0.2, 1.0)
    bottom = np.repeat(bars[:, :, None], 3, axis=2)
    return Image.fromarray(np.uint8(255 * np.vstack([top, bottom])))


def heat_colours(level: np.ndarray) -> np.ndarray:
    """Black, red, yellow, white for 0 .. 1; shape (h, w, 3)."""
    return np.clip(3 * level[:, :, None] - np.arange(3), 0, 1)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    target.mkdir(parents=True, exist_ok=True)
    main(target)
