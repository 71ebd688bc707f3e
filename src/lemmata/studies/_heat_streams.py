"""The heat simulation of the study on learned relaxation, and a real matrix."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import cg

from ..core import float64
from ..linear import (
    SSORPCG,
    ChebCB,
    FixedRelaxation,
    GoldenSection,
    HeatEquation2D,
    LearnedRelaxation,
    ShiftedSequence,
    TsallisINF,
    moving_heat_source,
)
from ._desk import Desk
from ._record import Plot, Series

CODE_ARMS = (1.0, 1.3, 1.5, 1.75, 1.95)  # of the paper's code
FIXED = (1.0, 1.3, 1.5, 1.75, 1.9)


def heat(desk: Desk, nx: int, steps: int, *, long: bool) -> None:
    """Solves the simulation while learning; pictures, costs, and the baselines."""
    problem = moving_heat_source(nx, steps)
    title = f"Heat equation, nx = {nx}, {steps} steps"
    top = float(problem.diffusion.max())
    learned = desk.solve(
        f"heat{nx}",
        f"{title}: ChebCB picks SSOR's relaxation for conjugate gradients",
        problem,
        LearnedRelaxation(SSORPCG(), ChebCB((0.0, max(top, 1e-3)))),
    )
    _pictures(desk, nx, learned.value.solutions)
    counts = {"ChebCB": learned.value.counts}
    seconds = {"ChebCB": learned.stats.seconds["run"]}
    policies: dict[str, Any] = {}
    if long:
        policies = {f"fixed, {w:g}": FixedRelaxation(w) for w in FIXED}
        policies["TsallisINF"] = TsallisINF(CODE_ARMS)
        policies["best for each system"] = GoldenSection()
    for name, policy in policies.items():
        found = desk.attempt(problem, LearnedRelaxation(SSORPCG(), policy))
        counts[name] = found.value.counts
        seconds[name] = found.stats.seconds["run"]
    if long:
        counts["CG, no preconditioner"] = plain_cg(problem, learned.value.solutions)
    columns = ("policy", "iterations a step", "iterations in all", "seconds")
    desk.table(
        title,
        columns,
        [
            (
                name,
                round(float(column.mean()), 2),
                int(column.sum()),
                round(seconds[name], 2) if name in seconds else "",
            )
            for name, column in counts.items()
        ],
    )
    desk.plot(_costs(nx, title, counts, problem.diffusion))
    if not long:
        return
    ratio = counts["ChebCB"].sum() / counts["fixed, 1"].sum()
    desk.figure(
        f"ChebCB's iterations over those at relaxation 1, nx = {nx}",
        paper="below 1",
        ours=f"{ratio:.2f}",
        note=f"{steps} steps; exploration included",
    )


def plain_cg(problem: HeatEquation2D, solutions: np.ndarray) -> np.ndarray:
    """SciPy's iterations on the same systems from the same starts."""
    counts, last = [], None
    with float64():
        for index in range(problem.length):
            system = problem.system(index, last)
            steps = [0]

            def count(_: Any, steps: list[int] = steps) -> None:
                steps[0] += 1

            shape = (problem.size, problem.size)
            matrix = sp.csr_array(
                (np.asarray(system.data), problem.indices, problem.indptr), shape=shape
            )
            start = np.asarray(system.start)
            cg(matrix, np.asarray(system.rhs), start, rtol=1e-8, callback=count)
            counts.append(steps[0])
            last = solutions[index]
    return np.array(counts)


def _pictures(desk: Desk, nx: int, solutions: np.ndarray) -> None:
    side, steps = nx - 1, solutions.shape[0]
    moments = [round(share * (steps - 1)) for share in (0.1, 0.4, 0.7, 1.0)]
    frames = solutions[moments].reshape(4, side, side)
    scale = max(1, 160 // side)
    big = np.kron(frames / frames.max(), np.ones((1, scale, scale)))
    strip = np.concatenate(list(np.pad(big, ((0, 0), (0, 0), (0, 4)))), axis=1)
    level = np.clip(strip, 0, 1)
    colours = np.stack([level**0.5, level**1.5, np.sin(np.pi * level) ** 2 / 2], -1)
    desk.image(
        f"heat{nx}",
        f"The temperature while it is computed, nx = {nx}",
        colours,
        caption=f"After steps {', '.join(str(m + 1) for m in moments)}. A source goes "
        "round; in the second half of each period diffusion is a hundred times faster.",
        alt="Four pictures of a hot spot that moves and spreads",
    )


def _costs(nx: int, title: str, counts: dict, diffusion: Any) -> Plot:
    shown = {
        k: v for k, v in counts.items() if k in ("ChebCB", "fixed, 1", "fixed, 1.5")
    }
    keep = np.unique(np.linspace(0, diffusion.size - 1, 300).astype(int))
    series = [
        Series(
            name,
            keep.tolist(),
            np.asarray(column, float)[keep].tolist(),
            "line",
            "ours" if name == "ChebCB" else "baseline",
        )
        for name, column in shown.items()
    ]
    return Plot(
        f"heat{nx}_cost",
        "xy",
        f"Iterations a step: {title}",
        caption="Costs follow the diffusion coefficient, which the policy is told.",
        x_label="step",
        y_label="iterations",
        series=tuple(series),
    )


def image_laplacian(pixels: int, steps: int) -> ShiftedSequence:
    """Smoothing a photograph, (L + c I) x = c u, by its own edges, at `steps` levels.

    L is the graph Laplacian of the pixel grid, weights exp(-(difference / 0.1)^2);
    u the photograph, `pixels` x `pixels`, grey values in [0, 1]; c falls from 1 to
    1e-3 and goes up and down again.
    """
    from skimage.data import camera
    from skimage.transform import resize

    picture = np.asarray(resize(camera(), (pixels, pixels), anti_aliasing=True))
    index = np.arange(pixels**2).reshape(pixels, pixels)
    pairs = [
        (index[:, :-1], index[:, 1:], picture[:, :-1] - picture[:, 1:]),
        (index[:-1], index[1:], picture[:-1] - picture[1:]),
    ]
    i, j, difference = (
        np.concatenate([part[k].reshape(-1) for part in pairs]) for k in range(3)
    )
    weight = np.exp(-((difference / 0.1) ** 2)) + 1e-3
    n = pixels**2
    off = sp.coo_array((weight, (i, j)), shape=(n, n)).tocsr()
    off = sp.csr_array(off + off.T)
    laplacian = sp.csr_array(sp.diags_array(off.sum(axis=1)) - off)
    phase = np.linspace(0, 3 * np.pi, steps)
    shifts = 10 ** (-1.5 + 1.5 * np.cos(phase))
    rhs = shifts[:, None] * picture.reshape(-1)
    return ShiftedSequence(laplacian, shifts, rhs)
