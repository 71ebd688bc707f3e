"""Block coordinate descent: which blocks, which rule, which update.

Source: Nutini, Laradji and Schmidt, JMLR 23(131), 2022 (arXiv 1712.08859), figures 4 to
13; data as their generators make them.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ..core import Solution
from ..optimize import (
    GS,
    GSD,
    GSL,
    GSQ,
    L1,
    BlockCoordinateDescent,
    CompositeProblem,
    CyclicSelection,
    GradientUpdate,
    GraphQuadratic,
    GreedyForest,
    LeastSquares,
    Logistic,
    MatrixUpdate,
    NewtonUpdate,
    NonNegativeL1,
    ProximalGradientUpdate,
    ProximalNewtonUpdate,
    Quadratic,
    RandomSelection,
    RedBlackBlocks,
    Softmax,
    SortedBlocks,
    TreePartition,
    TwoMetricUpdate,
    VariableBlocks,
    lattice_combs,
)
from ._desk import Desk
from ._record import Expected, Plot, Series

_RULES = {
    "Random": RandomSelection(),
    "Cyclic": CyclicSelection(),
    "GS": GS(),
    "GSL": GSL(),
    "GSD": GSD(),
    "GSQ": GSQ(),
}


@dataclass(frozen=True)
class _Size:
    rows: int
    columns: int
    steps: int
    updates: tuple[str, ...]
    side: int
    labels: int
    moons: int
    blocks: tuple[int, ...]
    long: bool


SIZES = {
    "tour": _Size(100, 200, 200, ("matrix",), 16, 20, 0, (50,), False),
    "quick": _Size(
        300, 1000, 500, ("gradient", "matrix"), 50, 100, 2000, (5, 20, 50, 100), True
    ),
    "paper": _Size(
        1000, 10_000, 500, ("gradient", "matrix"), 50, 100, 2000, (5, 50, 100), True
    ),
}


def study(size: str, desk: Desk) -> None:
    """Rules, forests and active sets, each against what the paper compares with."""
    chosen = SIZES[size]
    desk.say(
        "Greedy rules that weigh gradients by curvature beat random and cyclic "
        "choices; forests of a graph, solved by passing messages, beat small general "
        "blocks; and blocks that hold the support end after finitely many steps. Each "
        "answer is judged; so are single steps of the runs."
    )
    _rate(desk, chosen.long)
    _rules(desk, chosen)
    _lattice(desk, chosen)
    _supports(desk, chosen)
    if chosen.moons:
        _moons(desk, chosen)
    if chosen.long:
        _real(desk)


def regression(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Data A: columns of very different lengths, many zeros; a tenth of the weights."""
    rng = np.random.default_rng(1)
    design = (rng.normal(size=(rows, columns)) + 1) * (10 * rng.normal(size=columns))
    design *= rng.random((rows, columns)) < 10 * np.log(rows) / rows
    weights = rng.normal(size=columns) * (rng.random(columns) < 0.1)
    return design, design @ weights + rng.normal(size=rows)


def _expect(solution: Solution) -> dict[str, Expected]:
    """What a run does not show, it withholds; all that it claims is to hold."""
    return {w.id: "withheld" for w in solution.certificate.withheld}


def _keep(
    desk: Desk, name: str, title: str, problem: Any, method: Any, **limits: Any
) -> Solution:
    solution = desk.attempt(problem, method, **limits)
    return desk.keep(name, title, solution, _expect(solution))


def _rate(desk: Desk, long: bool) -> None:
    """The linear rate of the paper's theorem, decided on ridge regression."""
    rng = np.random.default_rng(0)
    n = 60
    design = np.vstack([rng.normal(size=(80, n)), 2 * np.eye(n)])
    target = np.append(design[:80] @ rng.normal(size=n), np.zeros(n))
    problem = CompositeProblem(LeastSquares(design, target))
    for name, partition in (
        ("fixed", SortedBlocks(5)),
        ("variable", VariableBlocks(5)),
    ):
        rule = GSQ() if name == "fixed" else GSD()
        method = BlockCoordinateDescent(partition, rule, MatrixUpdate())
        title = f"Ridge regression, {name} blocks of 5: the promised rate"
        solution = _keep(desk, f"rate_{name}", title, problem, method)
        found = solution.certificate["linear_rate"].figures
        desk.figure(
            f"Worst contraction of a recorded step, {name} blocks",
            paper=None,
            ours=f"{found['worst_ratio']:.4f}",
            note=f"the theorem promises {found['factor']:.4f} on this instance",
        )


def _rules(desk: Desk, size: _Size) -> None:
    """The table of rules: relative gaps after so many steps of blocks of 5."""
    design, target = regression(size.rows, size.columns)
    floor = _least(design, target)
    problem = CompositeProblem(LeastSquares(design, target), gap_tol=1e-16)
    start = 0.5 * float(target @ target)
    updates = {"gradient": GradientUpdate(), "matrix": MatrixUpdate()}
    rows, curves = [], []
    names = tuple(_RULES) if size.long else ("Random", "GSL")
    for update in size.updates:
        for kind in (SortedBlocks, VariableBlocks) if size.long else (VariableBlocks,):
            gaps = []
            for name in names:
                rule = _RULES[name]
                method = BlockCoordinateDescent(
                    kind(5), rule, updates[update], record=0
                )
                found = desk.attempt(problem, method, max_steps=size.steps)
                gap = (found.stats.trace["objective"] - floor) / (start - floor)
                gaps.append(float(gap[-1]))
                if update == "matrix" and kind is VariableBlocks:
                    curves.append(_curve(name, gap))
            rows.append((update, kind.__name__, *gaps))
    title = f"Relative gap after {size.steps} steps, {size.rows} x {size.columns}"
    desk.table(title, ("update", "partition", *names), rows)
    desk.plot(_plot("rules", "Rules: matrix update, variable blocks of 5", curves))
    best = dict(zip(names, rows[-1][2:], strict=True))
    others = ", ".join(f"{name} {best[name]:.1e}" for name in names if name != "GSL")
    desk.figure(
        f"Relative gap of GSL after {size.steps} steps, matrix update, variable blocks",
        paper="GSL, GSD and GSQ ahead of GS, and GS of Random (figures 4 and 5)",
        ours=f"{best['GSL']:.1e}",
        note=others,
    )


def _least(design: np.ndarray, target: np.ndarray) -> float:
    best = np.linalg.lstsq(design, target, rcond=None)[0]
    return 0.5 * float(np.sum(np.square(design @ best - target)))


def propagation(weights: Any, known: np.ndarray, values: np.ndarray) -> tuple:
    """(H, b, unknown nodes) of min sum w_ij (x_i - x_j)^2 / 2 with some x given."""
    unknown = np.setdiff1d(np.arange(weights.shape[0]), known)
    degree = np.asarray(weights.sum(axis=1)).ravel()
    laplacian = sparse.csr_array(sparse.diags_array(degree) - weights)
    linear = -(laplacian[unknown][:, known] @ values)
    return sparse.csr_array(laplacian[unknown][:, unknown]), linear, unknown


def lattice(side: int, weight: float = 1e5) -> sparse.csr_array:
    """Data D: a square grid of equal weights."""
    path = sparse.diags_array([np.ones(side - 1)] * 2, offsets=[-1, 1])  # type: ignore
    eye = sparse.eye_array(side)
    return sparse.csr_array(weight * (sparse.kron(path, eye) + sparse.kron(eye, path)))


def _lattice(desk: Desk, size: _Size) -> None:
    rng = np.random.default_rng(0)
    nodes = size.side**2
    known = np.sort(rng.choice(nodes, size.labels, replace=False))
    values = 10 * rng.normal(size=size.labels)
    h, b, unknown = propagation(lattice(size.side), known, values)
    row, column = np.divmod(np.arange(nodes), size.side)
    # Colours before deletion: afterwards a node's place on the grid is lost.
    combs = lattice_combs(size.side, size.side)[unknown]
    colours = ((row + column) % 2)[unknown]
    title = f"Labels on a {size.side} x {size.side} lattice"
    found = _forests(desk, "lattice", title, (h, b), size.long, combs, colours)
    desk.figure(
        "Steps to a relative gap of 1e-8 on the lattice",
        paper="forests ahead of red-black and of general blocks (figure 9)",
        ours=", ".join(f"{name} {steps}" for name, steps in found.items()),
    )


def _moons(desk: Desk, size: _Size) -> None:
    """Data E: two half circles, 5 nearest neighbours, 100 labels."""
    from scipy.spatial import KDTree

    rng, n = np.random.default_rng(0), size.moons
    angle: Any = rng.uniform(0, np.pi, n)
    upper = np.arange(n) % 2 == 1
    above = np.stack([np.cos(angle), np.sin(angle)], 1)
    below = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    points = np.where(upper[:, None], above, below) + 0.1 * rng.normal(size=(n, 2))
    near: Any = KDTree(points).query(points, 6)[1]
    pairs = (np.repeat(np.arange(n), 5), near[:, 1:].ravel())
    half = sparse.csr_array((np.ones(5 * n), pairs), shape=(n, n))
    weights = sparse.csr_array(((half + half.T) > 0).astype(np.float64))
    labels = np.full(n, np.nan)
    known = np.sort(rng.choice(n, size.labels, replace=False))
    labels[known] = np.where(upper[known], 1.0, -1.0)
    # A component without a label has no solution of its own: it is left out.
    graph = GraphQuadratic(weights, labels, unsolvable="drop")
    loss = graph.problem.loss
    assert isinstance(loss, Quadratic)
    system = (loss.operator.host(), np.asarray(loss.linear))
    title = f"Labels on two moons, 5 nearest neighbours, {system[1].size} unknowns"
    _forests(desk, "moons", title, system, True)


def _forests(
    desk: Desk,
    id: str,
    title: str,
    system: tuple[Any, Any],
    long: bool,
    combs: Any = None,
    red: Any = None,
) -> dict[str, Any]:
    """Greedy forests, a fixed partition, random ones, colours, small blocks."""
    from scipy.sparse.linalg import spsolve

    h, b = system
    best: Any = spsolve(sparse.csc_array(h), b)
    floor = float(0.5 * best @ (h @ best) - b @ best)
    small = VariableBlocks(max(round(len(b) ** (1 / 3)), 1))
    problem = CompositeProblem(Quadratic(h, b), gap_tol=1e-9)
    runs = {
        "greedy forest": (GreedyForest(), GS()),
        "trees": (TreePartition(combs), GS()),
        "random forest": (GreedyForest(), RandomSelection()),
        "red-black": (RedBlackBlocks(red), GS()),
        "general": (small, GS()),
    }
    rows, curves, reached = [], [], {}
    for name in runs if long else ("trees",):
        partition, rule = runs[name]
        kept = 2 if name == "trees" else 0
        method = BlockCoordinateDescent(partition, rule, MatrixUpdate(), record=kept)
        if name == "trees":
            found = _keep(desk, f"{id}_trees", title, problem, method, max_steps=30_000)
        else:
            found = desk.attempt(problem, method, max_steps=300)
        gap = (found.stats.trace["objective"] - floor) / -floor
        below = np.flatnonzero(gap <= 1e-8)
        reached[name] = int(below[0]) + 1 if below.size else None
        width = float(np.mean(found.stats.trace["size"]))
        at = min(300, len(gap)) - 1
        rows.append((name, width, reached[name], at + 1, float(gap[at])))
        curves.append(_curve(name, gap[:300]))
    columns = ("blocks", "mean size", "steps to 1e-8", "steps", "relative gap")
    desk.table(title, columns, rows)
    desk.plot(_plot(id, title, curves))
    return reached


def _supports(desk: Desk, size: _Size) -> None:
    """Blocks smaller and larger than the support."""
    design, target = regression(size.rows, size.columns)
    pull = design.T @ target
    strength = 0.15 * float(pull.max())
    problem = CompositeProblem(
        LeastSquares(design, target), NonNegativeL1(strength), gap_tol=1e-10
    )
    rtol = 1e-12 * strength / float(pull.max() - strength)
    updates = (TwoMetricUpdate(), ProximalNewtonUpdate())
    updates = (ProximalGradientUpdate(), *updates) if size.long else updates[1:]
    rows = []
    for width in size.blocks:
        for update in updates:
            method = BlockCoordinateDescent(
                VariableBlocks(width), GSD(), update, record=0, residual_rtol=rtol
            )
            name = type(update).__name__
            title = f"Non-negative L1, blocks of {width}, {name}"
            limits = {"max_steps": 3000}
            if width == size.blocks[-1] and not isinstance(
                update, updates[0].__class__
            ):
                case = f"support_{name.lower()}"
                found = _keep(desk, case, title, problem, method, **limits)
            else:
                found = desk.attempt(problem, method, **limits)
            trace = found.stats.trace
            rows.append(
                (
                    width,
                    name,
                    found.stats.steps,
                    int(trace["support"][-1]),
                    int(trace["identified_at"][-1]),
                    float(trace["residual"][-1]) / strength,
                )
            )
    columns = ("block", "update", "steps", "support", "found at", "KKT / strength")
    desk.table("Steps to a KKT residual of 1e-12 of the strength", columns, rows)
    shown = next(r for r in reversed(rows) if r[1] == "ProximalNewtonUpdate")
    desk.figure(
        f"Steps of prox-Newton, blocks of {shown[0]}, support {shown[3]}",
        paper="ends after finitely many (figures 12 and 13)",
        ours=str(shown[2]),
    )


def _real(desk: Desk) -> None:
    """Digits, breast cancer, diabetes with products of its features."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    digits: Any = load_digits()
    loss = Softmax(digits.data / 16.0, digits.target.astype(float), 10, l2=1e-2)
    method = BlockCoordinateDescent(VariableBlocks(320), GSD(), NewtonUpdate())
    _keep(desk, "digits", "Digits, softmax", CompositeProblem(loss), method)
    cancer: Any = load_breast_cancer()
    design = StandardScaler().fit_transform(cancer.data)
    loss = Logistic(design, np.where(cancer.target > 0, 1.0, -1.0), l2=1.0)
    method = BlockCoordinateDescent(VariableBlocks(10), GSD(), NewtonUpdate())
    _keep(desk, "cancer", "Breast cancer, logistic", CompositeProblem(loss), method)
    diabetes: Any = load_diabetes()
    products: Any = PolynomialFeatures(3, include_bias=False).fit_transform(
        diabetes.data
    )
    design = StandardScaler().fit_transform(products)
    target = diabetes.target - diabetes.target.mean()
    strength = 0.05 * float(np.abs(design.T @ target).max())
    problem = CompositeProblem(LeastSquares(design, target), L1(strength))
    _keep(desk, "diabetes", "Diabetes, degree 3, L1", problem, problem.default_method())


def _curve(name: str, gap: np.ndarray) -> Series:
    keep = np.unique(np.geomspace(1, len(gap), 200).astype(int)) - 1
    shown = np.maximum(gap[keep], 1e-17)
    role = "baseline" if name in ("Random", "Cyclic", "random forest") else "ours"
    return Series(name, (keep + 1.0).tolist(), shown.tolist(), "line", role)


def _plot(id: str, title: str, curves: list[Series]) -> Plot:
    return Plot(
        id,
        "xy",
        title,
        caption="Objective above its least value, relative to the start.",
        x_label="step",
        y_label="relative gap",
        y_log=True,
        series=tuple(curves),
    )
