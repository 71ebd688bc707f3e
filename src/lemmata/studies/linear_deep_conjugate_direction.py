"""Deep conjugate directions: one training, many domains, sizes and tolerances.

Source: Kaneda et al., ICML 2023 (arXiv 2205.10763), whose experiments are in space, at
64 to 256 cells a side; `paper` prepares those of 64 and 128 for a GPU.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Solution
from ..linear import (
    FLUID,
    SOLID,
    AbstractDirections,
    Adam,
    AlgebraicMultigrid,
    ConjugateGradients,
    DeepConjugateDirection,
    DeflatedPCG,
    DirectionTraining,
    GridPoisson,
    IncompleteCholesky,
    Lanczos,
    NetworkOnly,
    PretrainedDirections,
    ResidualDirections,
    RitzDataset,
    SineModes,
    TrainDirections,
)
from ._desk import Desk
from ._record import Expected, Plot, Series
from ._smoke import simulate

COLUMNS = ("method", "domain", "cells", "steps to 1e-4", "steps to 1e-8", "seconds")
NOT_ASKED: dict[str, Expected] = {"linear.size_independence/1": "withheld"}


@dataclass(frozen=True)
class _Size:
    sides: tuple[int, ...]
    train: int  # steps of training in the plane; 0 takes the network that ships
    smoke: int  # steps of the simulation
    space: tuple[int, ...]  # sides in space, the first is trained on
    baselines: bool


SIZES = {
    "tour": _Size((32,), 0, 0, (), False),
    "quick": _Size((32, 64, 128), 1500, 50, (16, 32), True),
    "paper": _Size((), 0, 0, (64, 128), True),
}


def study(size: str, desk: Desk) -> None:
    """Trains, solves on domains that training did not show, and runs a simulation."""
    chosen = SIZES[size]
    desk.say(
        "A network is trained once, without labels, on an empty grid. Its directions, "
        "made conjugate to the last two, then solve the pressure equation on larger "
        "grids and around obstacles that it never saw. Residual, error and descent are "
        "proven for every answer, whatever the network proposes."
    )
    network: AbstractDirections = PretrainedDirections()
    if chosen.train:
        network = _training(desk, chosen.train)
    if chosen.sides:
        _plane(desk, network, chosen)
    if chosen.baselines and chosen.sides:
        _windows(desk, network)
    if chosen.smoke:
        _smoke(desk, network, chosen.smoke)
    if chosen.space:
        _space(desk, chosen.space, paper=size == "paper")


def domain(name: str, shape: tuple[int, ...], rtol: float) -> GridPoisson:
    """`empty` with white noise, or `disk`: an obstacle and a smooth right-hand side."""
    cells = np.full(shape, FLUID)
    if name == "empty":
        return GridPoisson(
            cells, np.random.default_rng(1).normal(size=shape), rtol=rtol
        )
    places = [(np.arange(n) + 0.5) / n for n in shape]
    x = np.meshgrid(*places, indexing="ij")
    centre = (0.55, 0.4, 0.5)
    distance = sum((a - c) ** 2 for a, c in zip(x, centre, strict=False))
    cells[np.asarray(distance < 0.15**2)] = SOLID
    away = sum((a - c) ** 2 for a, c in zip(x, (0.3, 0.6, 0.5), strict=False))
    smooth = np.sin(5 * x[0]) * np.cos(3 * x[1]) + np.exp(-30 * np.asarray(away))
    return GridPoisson(cells, smooth * (cells == FLUID), rtol=rtol)


def steps_to(solution: Solution, level: float) -> int | None:
    """The first step whose residual, over the first, is at most `level`."""
    below = np.flatnonzero(solution.stats.trace["residual"] <= level)
    return int(below[0]) + 1 if below.size else None


def _training(desk: Desk, steps: int) -> AbstractDirections:
    box = GridPoisson(np.full((32, 32), FLUID), np.zeros((32, 32)))
    problem = DirectionTraining.of(RitzDataset(box), loss_tol=0.02)
    method = TrainDirections(steps=steps, sizes=(1, 2, 4))
    found = desk.solve("training", "Training on an empty 32 x 32 grid", problem, method)
    loss = found.stats.trace
    count = np.arange(1, steps + 1).tolist()
    curves = [("training", "loss", "line"), ("kept aside", "validation_loss", "dashed")]
    series = []
    for label, name, style in curves:
        shown = np.where(np.isfinite(loss[name]), loss[name], np.nan)
        known = np.flatnonzero(np.isfinite(shown))
        xs, ys = [count[k] for k in known], shown[known].tolist()
        series.append(Series(label, xs, ys, style))  # type: ignore[arg-type]
    desk.plot(
        Plot(
            "training_loss",
            "xy",
            "Loss while training",
            x_label="batch",
            y_label="||b - s A f(b)||^2",
            y_log=True,
            series=tuple(series),
        )
    )
    seconds = found.stats.seconds["run"]
    desk.figure("Seconds of training, 32 x 32", paper=None, ours=f"{seconds:.0f}")
    desk.figure(
        "Steps on 1, 2 and 4 times the sides of training, to 1e-4",
        paper="nearly independent of the size",
        ours=_counts(found),
        note="white noise on empty grids",
    )
    return found.value.network


def _counts(found: Solution) -> str:
    figures = found.certificate["size_independence"].figures
    return ", ".join(f"{value:.0f}" for value in figures.values())


def _plane(desk: Desk, network: AbstractDirections, size: _Size) -> None:
    rows = []
    for side in size.sides:
        for name in ("empty", "disk"):
            problem = domain(name, (side, side), 1e-8)
            title = f"{side} x {side}, {name}"
            ours = desk.solve(
                f"{name}{side}", title, problem, DeepConjugateDirection(network)
            )
            plain = desk.attempt(problem, DeepConjugateDirection(ResidualDirections()))
            rows += [_row("network", name, ours), _row("CG", name, plain)]
            if size.baselines:
                rows += _baselines(desk, problem, network, name)
            if side == size.sides[-1]:
                desk.plot(_convergence(f"{name}_residual", title, ours, plain))
    desk.table("The network against conjugate gradients", COLUMNS, rows)


def _baselines(
    desk: Desk, problem: GridPoisson, network: AbstractDirections, name: str
) -> list[tuple]:
    others = {
        "incomplete Cholesky CG": ConjugateGradients(IncompleteCholesky()),
        "deflated CG, 16 vectors": DeflatedPCG(),
        "CG, algebraic multigrid": ConjugateGradients(AlgebraicMultigrid()),
        "network asked once": NetworkOnly(network),
    }
    return [_row(who, name, desk.attempt(problem, m)) for who, m in others.items()]


def _row(who: str, name: str, solution: Solution) -> tuple[Any, ...]:
    cells = "x".join(map(str, solution.problem.grid))
    counts = [steps_to(solution, level) for level in (1e-4, 1e-8)]
    shown = ["not reached" if c is None else c for c in counts]
    return (who, name, cells, *shown, solution.stats.seconds["run"])


def _convergence(id: str, title: str, ours: Solution, plain: Solution) -> Plot:
    series = []
    for who, found, role in (("network", ours, "ours"), ("CG", plain, "baseline")):
        residual = np.maximum(found.stats.trace["residual"], 1e-18)
        xs = np.arange(1, residual.size + 1).tolist()
        series.append(Series(who, xs, residual.tolist(), "line", role))  # type: ignore[arg-type]
    return Plot(
        id,
        "xy",
        f"Residual: {title}",
        caption="One step of the network's applies A twice, one of CG's once.",
        x_label="step",
        y_label="||r|| / ||r_0||",
        y_log=True,
        series=tuple(series),
    )


def _windows(desk: Desk, network: AbstractDirections) -> None:
    rows = []
    for side in (32, 64):
        problem = domain("empty", (side, side), 1e-6)
        for window in (0, 1, 2, 3, 6):
            found = desk.attempt(problem, DeepConjugateDirection(network, window))
            rows.append((side, window, steps_to(found, 1e-6)))
    columns = ("side", "window", "steps to 1e-6")
    desk.table("How many directions are remembered", columns, rows)


def _smoke(desk: Desk, network: AbstractDirections, steps: int) -> None:
    counts: list[tuple[int, int]] = []
    last: list[Solution] = []

    def solve(problem: GridPoisson) -> np.ndarray:
        ours = desk.attempt(problem, DeepConjugateDirection(network))
        plain = desk.attempt(problem, ConjugateGradients())
        counts.append((ours.stats.steps, plain.stats.steps))
        last[:] = [ours]
        return np.asarray(ours.value.x)

    _, pictures, divergence = simulate(64, steps, 1e-6, solve)
    desk.keep("smoke", f"Step {steps} of the simulation", last[0], {})
    desk.image(
        "smoke",
        "Smoke around a moving disk",
        np.repeat(np.repeat(np.concatenate(pictures, axis=1), 3, 0), 3, 1),
        caption=f"Four moments of {steps} steps; the disk swings, so that every step "
        f"has another operator. Largest divergence left: {divergence:.1e} a step.",
        alt="Four frames of smoke rising past a grey disk",
    )
    ours, plain = np.asarray(counts, float).T.tolist()
    time = [float(t) for t in range(1, steps + 1)]
    desk.plot(
        Plot(
            "smoke_steps",
            "xy",
            "Steps to 1e-6 while the obstacle moves, 64 x 64",
            x_label="time step",
            y_label="steps",
            series=(
                Series("network", time, ours),
                Series("Jacobi CG", time, plain, "line", "baseline"),
            ),
        )
    )


def _space(desk: Desk, sides: tuple[int, ...], *, paper: bool) -> None:
    """The same in space; `paper` is the reference network on 20,000 right-hand sides.

    Reference: one level, biases, rate 1e-4 held; 20,000 batches are 11 epochs.
    """
    shape = (sides[0],) * 3
    box = GridPoisson(np.full(shape, FLUID), np.zeros(shape))
    if paper:
        data = RitzDataset(box, 20_000, method=SineModes())
        options: dict[str, Any] = {"channels": 16, "levels": 1, "bias": True}
        method = TrainDirections(Adam(1e-4, decay=False), steps=20_000)
    else:
        data = RitzDataset(box, 400, method=Lanczos(1000))
        options = {"channels": 8, "levels": 2}
        method = TrainDirections(steps=400, batch=8)
    problem = DirectionTraining.of(data, loss_tol=0.2, **options)
    title = f"Training on an empty cube, {sides[0]} a side"
    trained = desk.solve("training_cube", title, problem, method, expect=NOT_ASKED)
    rows = []
    for side in sides:
        for name in ("empty", "disk"):
            found = domain(name, (side,) * 3, 1e-6)
            ours = desk.solve(
                f"{name}{side}_cube",
                f"Cube, {side} a side, {name}",
                found,
                DeepConjugateDirection(trained.value.network),
            )
            plain = desk.attempt(found, DeepConjugateDirection(ResidualDirections()))
            rows += [_row("network", name, ours), _row("CG", name, plain)]
    desk.table("In space", COLUMNS, rows)
