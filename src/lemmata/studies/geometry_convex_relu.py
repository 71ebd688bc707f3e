"""Two-layer ReLU networks: the global optimum, its certificate, and robust training.

Source: Bai, Gautam and Sojoudi, SIAM J. Math. Data Science 5 (2023), sections 3 to 5.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core import Solution
from ..geometry import (
    ADMM,
    BackPropagation,
    ConicSolver,
    ConvexReLU,
    Exact,
    Given,
    RandomizedBlockADMM,
    Sampled,
    SampledConvexProgram,
    SemismoothNewton,
    with_more_patterns,
)
from ._desk import Desk
from ._record import Expected, Plot, Series
from ._robust_networks import digits, robust

_SOME: dict[str, Expected] = {"geometry.global_gap/1": "withheld"}
_LOOSE: dict[str, Expected] = {
    "geometry.network_gap/1": "fails",
    "geometry.global_gap/1": "fails",
}
COLUMNS = ("method", "steps", "seconds", "cost", "certified gap")


@dataclass(frozen=True)
class _Size:
    rows: int
    columns: int
    patterns: int
    admm_steps: int
    seeds: int
    features: tuple[int, ...]
    radii: tuple[float, ...]
    digits: int
    sets: bool
    large: bool = False


SIZES = {
    "tour": _Size(60, 4, 12, 500, 1, (200,), (0.05,), 0, False),
    "quick": _Size(120, 8, 30, 5000, 5, (50, 200, 1000), (0.02, 0.05, 0.1), 60, True),
    "paper": _Size(
        120, 8, 30, 20_000, 5, (50, 200, 1000), (0.02, 0.05, 0.1), 120, True, True
    ),
}


def study(size: str, desk: Desk) -> None:
    """Convex training, the plane, the sampled program, robust training, real data."""
    chosen = SIZES[size]
    desk.say(
        "A two-layer ReLU network whose units have given activation patterns is "
        "trained by a convex program. Its dual bounds the cost of every such network "
        "from below, so that the distance to the global optimum is known, not hoped "
        "for."
    )
    _tumours(desk, chosen)
    _plane(desk, chosen)
    robust(desk, chosen.radii, chosen.sets)
    if chosen.sets:
        _sets(desk)
        digits(desk, chosen.digits)
    if chosen.large:
        _large(desk)


def table(name: str, rows: int | None = None, columns: int | None = None) -> Any:
    """Standardised columns and one of ones; classes as -1 and 1, y as it is."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    x, y = x[:rows, :columns], y[:rows].astype(float)
    x = np.hstack([x, np.ones((len(x), 1))])
    if name == "diabetes":
        return x, (y - y.mean()) / y.std()
    return x, np.where(y > 0, 1.0, -1.0)


def row(solution: Solution) -> tuple:
    """One line of a table of methods."""
    gap = solution.certificate["network_gap"].measured
    seconds = solution.stats.seconds.get("run", 0.0)
    name = type(solution.method).__name__
    cost = f"{float(solution.value.objective):.6f}"
    return name, solution.stats.steps, f"{seconds:.2f}", cost, f"{gap:.1e}"


def _tumours(desk: Desk, size: _Size) -> None:
    x, y = table("breast_cancer", size.rows, size.columns)
    directions = np.random.default_rng(0).normal(size=(x.shape[1], size.patterns)).T
    patterns = Given(directions=directions)
    problem = ConvexReLU(x, y, weight_decay=0.5, patterns=patterns)
    newton = desk.solve(
        "newton", "Semismooth Newton, squared loss", problem, expect=_SOME
    )
    steps = size.admm_steps
    admm = desk.attempt(problem, ADMM(), max_steps=steps)
    relaxed = desk.attempt(problem, ADMM(relaxation=1.6), max_steps=steps)
    rivals = [newton, admm, relaxed, desk.attempt(problem, ConicSolver())]
    if size.sets:
        blocks = RandomizedBlockADMM()
        rivals.append(desk.attempt(problem, blocks, max_steps=min(steps // 10, 1000)))
        rivals.append(desk.attempt(problem, BackPropagation(60, steps=steps // 2)))
        _more(desk, problem, newton)
    desk.table("One program, squared loss", COLUMNS, [row(s) for s in rivals])
    desk.plot(_gaps(newton, admm, relaxed))
    figures = newton.certificate["network_gap"].figures
    desk.figure(
        "Certified gap to the optimum over the patterns",
        paper=None,
        ours=f"{newton.certificate['network_gap'].measured:.1e}",
        note=f"cost {figures['cost']:.6f}, bound {figures['lower bound']:.6f}",
    )
    for loss, decay in (("hinge", 0.01), ("logistic", 0.5)):
        desk.solve(
            loss,
            f"Semismooth Newton, {loss} loss",
            ConvexReLU(x, y, loss, weight_decay=decay, patterns=patterns),
            SemismoothNewton(),
            expect=_SOME,
        )


def _more(desk: Desk, problem: ConvexReLU, first: Solution) -> None:
    """Patterns that the dual asks for, round by round, and Adam without restriction."""
    rows, solution = [], first
    for turn in range(4):
        if turn:
            problem = with_more_patterns(problem, solution.value)
            solution = desk.attempt(problem, SemismoothNewton())
        cost = f"{float(solution.value.objective):.4f}"
        rows.append((f"round {turn}", len(problem.patterns), cost))
    trained = desk.attempt(problem, BackPropagation(100, steps=3000))
    rows.append(("Adam, 100 units", "any", f"{float(trained.value.objective):.4f}"))
    desk.table("More patterns, round by round", ("who", "patterns", "cost"), rows)


def _gaps(newton: Solution, *admms: Solution) -> Plot:
    series = []
    for name, solution in zip(
        ("semismooth Newton", "ADMM", "ADMM, relaxation 1.6"),
        (newton, *admms),
        strict=True,
    ):
        trace = solution.stats.trace
        cost, lower = trace["objective"], trace["dual_value"]
        gap = (cost - lower) / np.maximum(lower, 1e-300)
        step = np.arange(1, gap.size + 1)
        good = (lower > 0) & (gap > 0)
        role = "ours" if solution is newton else "baseline"
        points = (step[good].tolist(), gap[good].tolist())
        series.append(Series(name, *points, role=role))
    return Plot(
        "gap",
        "xy",
        "Gap between network and dual bound",
        caption="Both sides are feasible: the network is real, the bound is a proof.",
        x_label="step",
        y_label="relative gap",
        x_log=True,
        y_log=True,
        series=tuple(series),
    )


def _plane(desk: Desk, size: _Size) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2))
    y = np.abs(x[:, 0]) - 0.5 * x[:, 1] + 0.3 * rng.normal(size=30)
    problem = ConvexReLU(x, y, weight_decay=0.3, patterns=Exact())
    best = desk.solve("plane", "Thirty samples in the plane, all patterns", problem)
    floor = best.certificate["global_gap"].figures["lower bound"]
    rows = [row(best)]
    costs = []
    for seed in range(size.seeds):
        method = BackPropagation(40, steps=2000 if size.seeds > 1 else 500)
        trained = desk.attempt(problem, method, key=seed)
        costs.append(float(trained.value.objective))
        rows.append(row(trained))
    for features in size.features:
        sampled = desk.solve(
            f"sampled{features}",
            f"Sampled program, {features} units",
            problem,
            SampledConvexProgram(features),
            expect=_LOOSE,
        )
        rows.append(row(sampled))
    desk.table("All networks of any width, in the plane", COLUMNS, rows)
    desk.figure(
        "Best of the trained networks over the proved floor of all networks",
        paper=None,
        ours=f"{min(costs) / floor - 1:.1e}",
        note=f"{size.seeds} starts of Adam; {len(problem.patterns)} patterns",
    )


def _sets(desk: Desk) -> None:
    """Whole data sets, one solve each."""
    for name, loss, decay in (
        ("breast_cancer", "logistic", 1.0),
        ("diabetes", "squared", 5.0),
        ("wine", "hinge", 0.005),
    ):
        x, y = table(name)
        problem = ConvexReLU(x, y, loss, weight_decay=decay, patterns=Sampled(30))
        solution = desk.solve(
            name, f"{name}, all {len(y)} rows, {loss}", problem, expect=_SOME
        )
        desk.figure(
            f"Certified gap on {name}",
            paper=None,
            ours=f"{solution.certificate['network_gap'].measured:.1e}",
            note=f"{solution.stats.steps} steps, width {solution.value.width}",
        )


def large() -> ConvexReLU:
    """The size of the benchmark: 500 rows, 200 patterns."""
    x, y = table("breast_cancer", 500, 29)
    return ConvexReLU(x, y, weight_decay=1.0, patterns=Sampled(200))


def _large(desk: Desk) -> None:
    desk.solve("large", "500 rows, 200 patterns", large(), expect=_SOME)
