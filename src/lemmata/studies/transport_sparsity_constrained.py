"""Sparsity-constrained transport: colours, the limits in the cap, routers.

Source: Liu, Puigcerver, Blondel, ICLR 2023 (arXiv 2209.15466), sections 4 to 6.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ..core import Solution
from ..data.samples import palette, photograph
from ..transport import Selection, SemiDual, SparseTransport, SparsityPath
from ._desk import Desk
from ._record import Expected, Plot, Series
from ._routers import compare_routers

_LIMITS = "transport.limit_cases/1"
_SMOOTH = "transport.smoothness_tradeoff/1"
FEASIBLE = 1e-9  # L1 error of the rows up to which the table tells a gap
ROUGH = 0.01  # L1 error of the rows that is promised where exact rows are not found

# Without exact rows there is a lower bound, and no gap to it.
NO_GAP: dict[str, Expected] = {"transport.sparse_gap/1": "withheld"}
COLUMNS = (
    "plan",
    "cap",
    "objective",
    "dual bound",
    "gap",
    "L1 row error",
    "most non-zeros",
    "steps",
    "seconds",
)


@dataclass(frozen=True)
class _Size:
    colours: int
    caps: tuple[int, ...]
    rough: tuple[int, ...]  # caps at which no plan with exact rows is found
    every: int  # of the photograph's rows and columns
    tokens: int
    experts: int
    factors: tuple[float, ...]
    long: bool


_FACTORS = (1.0, 1.05, 1.25, 2.0)
SIZES = {
    "tour": _Size(24, (6,), (), 4, 128, 8, (1.05,), False),
    "quick": _Size(128, (2, 4, 8, 16), (2, 4), 2, 512, 16, _FACTORS, True),
    "paper": _Size(256, (2, 4, 8, 16), (2, 4), 1, 4_096, 32, _FACTORS, True),
}


def study(size: str, desk: Desk) -> None:
    """Colour transfer and routing under a hard cap; every answer is judged."""
    chosen = SIZES[size]
    desk.say(
        "At most k sources for every target: the problem is not convex, yet its "
        "semi-dual bounds the optimum from below, and where a plan within the cap "
        "meets that bound, it is certified as a global optimum."
    )
    _colours(desk, chosen)
    _path(desk, chosen)
    compare_routers(desk, chosen.tokens, chosen.experts, chosen.factors, chosen.long)
    if chosen.long:
        from ._experts import classifier

        classifier(desk)


def colour_problem(
    count: int, cap: int, marginal_tol: float | None = None
) -> SparseTransport:
    """Palettes of two photographs weighted by their shares of the pixels, gamma = 1."""
    (source, target), weights = _palettes(count)
    cost = np.sum((source[:, None] - target[None]) ** 2, axis=-1)
    return SparseTransport(
        cost, *weights, gamma=1.0, cap=cap, marginal_tol=marginal_tol
    )


@cache
def _palettes(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Colours and weights of both photographs; not to be written to."""
    centres, weights = [], []
    for seed, name in enumerate(("china", "flower")):
        points, labels = palette(name, count, seed)
        centres.append(points)
        weights.append(np.bincount(labels, minlength=count) / len(labels))
    return centres, weights


def _colours(desk: Desk, size: _Size) -> None:
    rows, found = [], None
    for cap in size.caps:
        rough = cap in size.rough
        problem = colour_problem(size.colours, cap, ROUGH if rough else None)
        found = desk.solve(
            f"colours_k{cap}",
            f"{size.colours} colours, at most {cap} sources for each",
            problem,
            SemiDual(),
            expect=NO_GAP if rough else {},
        )
        rows.append(_row("polished", found))
        if size.long:
            plain = SemiDual(recovery=Selection())
            rows.append(_row("selection (the paper's)", desk.attempt(problem, plain)))
    assert found is not None
    desk.table(f"{size.colours} colours of one photograph to another's", COLUMNS, rows)
    if size.long:
        desk.say(
            "At the maximum of the semi-dual the best k sources of some targets tie. "
            "The paper's selection plan takes one choice among them and misses its "
            "rows; the polished plan puts them right within the same cap. At the "
            f"smallest caps it does so only nearly: those cases promise {ROUGH:.0%} of "
            "the mass, and have a lower bound on the optimum but no gap to it."
        )
    desk.plot(_pattern(found, size.caps[-1]))
    _picture(desk, found, size)


def _row(name: str, solution: Solution) -> tuple[Any, ...]:
    value, problem = solution.value, solution.problem
    share = problem.source / problem.source.sum()
    sums = np.asarray(value.sparse().sum(axis=1)).ravel()
    error = float(np.abs(sums - share).sum())
    objective, bound = float(value.objective), float(value.dual_value)
    return (
        name,
        problem.cap,
        objective,
        bound,
        # The objective of a plan that misses its rows bounds nothing.
        objective - bound if error <= FEASIBLE else None,
        error,
        int(np.bincount(value.support[1]).max()),
        solution.stats.steps,
        solution.stats.seconds["run"],
    )


def _pattern(solution: Solution, cap: int) -> Plot:
    rows, columns = solution.value.support
    return Plot(
        "pattern",
        "pattern",
        f"Where the plan has mass at cap {cap}",
        caption=f"{len(rows)} entries are not zero, at most {cap} in a column; every "
        "other entry is zero exactly.",
        x_label="colour of the second photograph",
        y_label="colour of the first",
        rows=rows.tolist(),
        columns=columns.tolist(),
        shape=solution.value.shape,
    )


def _picture(desk: Desk, solution: Solution, size: _Size) -> None:
    """Every pixel takes the mean colour that its cluster is sent to."""
    from scipy.spatial import KDTree

    (source, target), _ = _palettes(size.colours)
    plan = solution.value.sparse()
    sums = np.asarray(plan.sum(axis=1)).reshape(-1, 1)
    picture = photograph("china", size.every)
    cluster = KDTree(source).query(picture.reshape(-1, 3))[1]
    recoloured = ((plan @ target) / sums)[cluster].reshape(picture.shape)
    desk.image(
        "recoloured",
        "The first photograph in the colours of the second",
        np.concatenate([picture, recoloured], axis=1),
        caption=f"Left as taken; right, each of {size.colours} colours replaced by the "
        "mean of those that the plan sends it to, and no target mixed from more than "
        f"{solution.problem.cap}.",
        alt="A Chinese temple, and the same picture in the colours of a flower",
    )


def _path(desk: Desk, size: _Size) -> None:
    """The paper's two limits and the trade-off, on one grid of caps."""
    problem = colour_problem(size.colours, size.caps[-1])
    caps = size.caps if size.long else (2, 4, 8)
    method = SparsityPath(caps=caps)
    found = desk.solve(
        "path",
        f"{size.colours} colours at many caps: unregularised transport at 1, "
        "quadratic at the other end",
        problem,
        method,
    )
    witness = _witness(found)
    steps = found.certificate[_SMOOTH].figures
    desk.table(
        "The dual values fall as the cap grows, and the ascent gets easier",
        ("cap", "dual value", f"steps to {method.rtol:.1%} (of {method.max_steps})"),
        [
            (cap, best, int(steps[f"iterations_{cap}"]))
            for cap, best in zip(
                witness["caps"].tolist(), witness["best"].tolist(), strict=True
            )
        ],
    )
    desk.plot(_climbs(witness))
    desk.figure(
        "Rank correlation of the cap with the steps to a fixed gap",
        paper="smoothness grows with k (no figure given)",
        ours=f"{found.certificate[_SMOOTH].measured:.2f}",
        note="-1 means that every larger cap takes fewer steps",
    )
    desk.figure(
        "Violation of the chain of limits in k",
        paper="k = 1 is unregularised, large k quadratic transport (a theorem)",
        ours=f"{found.certificate[_LIMITS].measured:.1e}",
        note="in units of the cost, rounding included",
    )


def _witness(found: Solution) -> dict[str, np.ndarray]:
    for claim in found.certificate.claims:
        if claim.id == _SMOOTH:
            return {name: np.asarray(part) for name, part in claim.witness.items()}
    raise KeyError(_SMOOTH)


def _climbs(witness: dict[str, np.ndarray]) -> Plot:
    series = []
    for cap, trace, best in zip(
        witness["caps"].tolist(), witness["dual_traces"], witness["best"], strict=True
    ):
        keep = np.unique(np.geomspace(1, len(trace), 100).astype(int)) - 1
        gap = np.maximum((max(best, trace.max()) - trace[keep]) / abs(best), 1e-15)
        name = f"cap {cap}" if cap < witness["caps"][-1] else f"cap {cap}, none at all"
        series.append(Series(name, (keep + 1).tolist(), gap.tolist()))
    return Plot(
        "climbs",
        "xy",
        "The smaller the cap, the harder the ascent",
        caption="Distance of the semi-dual from its maximum along L-BFGS from zero, "
        "relative. Where the best sources tie, the function has kinks at its maximum.",
        x_label="step",
        y_label="relative distance",
        x_log=True,
        y_log=True,
        series=tuple(series),
    )
