"""Learning to relax: a stream of systems tunes its own solver.

Source: Khodak, Chow, Balcan and Talwalkar, ICLR 2024 (arXiv 2310.02246).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from ..core import Solution
from ..linear import (
    SOR,
    SSORPCG,
    BinnedTsallisINF,
    ChebCB,
    FixedRelaxation,
    LearnedRelaxation,
    PlayPolicy,
    RelaxationAudit,
    RelaxationTable,
    TsallisINF,
    relaxation_table,
    shifted_laplacian,
    square_laplacian,
)
from ._desk import Desk
from ._heat_streams import heat, image_laplacian
from ._record import Expected, Plot, Role, Series

INTERVAL = (-0.15, 0.45)  # where the paper's shifts lie
FAMILIES = {"high": (0.5, 1.5), "low": (2.0, 6.0)}
_CONTEXTUAL = "linear.contextual/1"
NOT_CHEBCB: dict[str, Expected] = {_CONTEXTUAL: "withheld"}
COLUMNS = (
    "policy",
    "iterations a system",
    "over the last quarter",
    "seconds",
    "judged",
)


@dataclass(frozen=True)
class _Size:
    families: tuple[str, ...]
    systems: int
    side: int
    arms: int
    trials: int
    heat: tuple[tuple[int, int], ...]  # intervals along a side, steps
    pixels: int
    audits: tuple[float, ...]
    audit_side: int


SIZES = {
    "tour": _Size(("high",), 150, 5, 6, 0, ((16, 60),), 0, (0.0,), 5),
    "quick": _Size(
        ("high", "low"), 2_000, 10, 20, 8, ((50, 1_000),), 48, (-0.15, 0.0, 0.3), 10
    ),
    "paper": _Size(
        ("high", "low"),
        5_000,
        10,
        20,
        40,
        ((25, 5_000), (50, 5_000), (100, 5_000), (200, 5_000), (400, 1_600)),
        128,
        (-0.15, 0.0, 0.3),
        10,
    ),
}


def study(size: str, desk: Desk) -> None:
    """Replays shifts and heat, holds the theory against counts, and a real matrix."""
    chosen = SIZES[size]
    desk.say(
        "Thousands of related systems are solved in turn, and a bandit picks the "
        "relaxation from iteration counts alone. Every solution is certified: the "
        "residual of each system, rounding included, and that the log of a run is one "
        "of the algorithm."
    )
    for family in chosen.families:
        _shifts(desk, chosen, family)
    _audits(desk, chosen)
    for nx, steps in chosen.heat:
        heat(desk, nx, steps, long=size != "tour")
    if chosen.pixels:
        _real_matrix(desk, chosen.pixels)


def _shifts(desk: Desk, size: _Size, family: str) -> None:
    stream = shifted_laplacian(
        size.systems, side=size.side, concentration=FAMILIES[family]
    )
    n = size.side**2
    title = f"{size.systems} shifted Laplacians, n = {n}, {family} variance"
    table = relaxation_table(stream, SOR(), size.arms, tau=0.2)
    arms = np.linspace(1, 1.95, size.arms)
    policies = {
        "TsallisINF": TsallisINF(arms),
        "BinnedTsallisINF": BinnedTsallisINF(INTERVAL, arms),
        "ChebCB": ChebCB(INTERVAL, arms),
    }
    counts, rows = {}, []
    for name, policy in policies.items():
        if size.systems < 1000 and name == "BinnedTsallisINF":
            continue  # too few systems a bin to say anything
        solution = desk.solve(
            f"{family}_{name.lower()}",
            f"{title}: {name}",
            stream,
            LearnedRelaxation(SOR(), policy),
        )
        counts[name] = solution.value.counts
        rows.append(_row(name, solution.value.counts, solution))
    best = int(np.argmin(table.counts.sum(axis=0)))
    assert table.optimal is not None
    references = {
        f"best fixed, {arms[best]:.2f}": table.counts[:, best],
        "relaxation 1": table.counts[:, 0],
        "Young's, for each system": np.asarray(table.optimal),
    }
    rows += [_row(name, column, None) for name, column in references.items()]
    desk.table(title, COLUMNS, rows)
    desk.plot(_curves(family, title, counts, references))
    desk.plot(_over_arms(family, title, arms, table))
    if size.trials:
        _regret(desk, size, family, table, arms)
    desk.figure(
        f"Best fixed relaxation, {family} variance",
        paper={"high": "about 1.8", "low": "about 1.6"}[family],
        ours=f"{arms[best]:.2f}",
        note=f"n = {n}, {size.systems} systems; the paper has 100 and 5,000",
    )
    ratio = counts["ChebCB"].sum() / table.counts[:, best].sum()
    desk.figure(
        f"ChebCB's iterations over those of the best fixed, {family} variance",
        paper="below 1",
        ours=f"{ratio:.2f}",
        note="exploration included",
    )


def _regret(
    desk: Desk, size: _Size, family: str, table: RelaxationTable, arms: np.ndarray
) -> None:
    bound = float(table.bound)
    solution = desk.solve(
        f"{family}_regret",
        f"Regret of Tsallis-INF with K = {bound:.0f}, {size.trials} trials",
        table,
        PlayPolicy(TsallisINF(arms, scale=bound), trials=size.trials),
        expect=NOT_CHEBCB,
    )
    found = solution.certificate["regret_fixed"]
    desk.figure(
        f"Regret as a share of the theorem's bound, {family} variance",
        paper=None,
        ours=f"{found.measured:.3f}",
        note=found.detail,
    )
    if size.systems >= 2000:  # too early before: it is still exploring
        desk.solve(
            f"{family}_contextual",
            f"ChebCB against Young's relaxation for each system, {size.trials} trials",
            table,
            PlayPolicy(ChebCB(INTERVAL, arms), trials=size.trials),
        )


def _row(name: str, counts: np.ndarray, solution: Solution | None) -> tuple[Any, ...]:
    late = counts[-max(1, counts.size // 4) :]
    seconds = "" if solution is None else round(solution.stats.seconds["run"], 2)
    judged = "" if solution is None else "holds" if solution.certified else "fails"
    return (name, round(float(counts.mean()), 1), round(float(late.mean()), 1)) + (
        seconds,
        judged,
    )


def _curves(family: str, title: str, ours: dict, references: dict) -> Plot:
    series = []
    groups: tuple[tuple[Role, dict], ...] = (("ours", ours), ("baseline", references))
    for role, group in groups:
        for name, counts in group.items():
            keep = np.unique(np.geomspace(1, counts.size, 200).astype(int))
            mean = np.cumsum(counts)[keep - 1] / keep
            style = "line" if role == "ours" else "dashed"
            series.append(Series(name, keep.tolist(), mean.tolist(), style, role))
    return Plot(
        f"{family}_cost",
        "xy",
        f"Mean cost so far: {title}",
        caption="Iterations a system, averaged from the first system on.",
        x_label="systems",
        y_label="iterations",
        x_log=True,
        y_log=True,
        series=tuple(series),
    )


def _over_arms(
    family: str, title: str, arms: np.ndarray, table: RelaxationTable
) -> Plot:
    mean = table.counts.mean(axis=0)
    assert table.optimal is not None
    young = float(np.mean(table.optimal))
    ends = [float(arms[0]), float(arms[-1])]
    return Plot(
        f"{family}_arms",
        "xy",
        f"What each fixed relaxation costs: {title}",
        caption="No fixed value serves all shifts; the dashed line changes with them.",
        x_label="relaxation",
        y_label="iterations a system",
        y_log=True,
        series=(
            Series("fixed", arms.tolist(), mean.tolist(), "line", "baseline"),
            Series("Young's, for each system", ends, [young] * 2, "dashed", "baseline"),
        ),
    )


def _audits(desk: Desk, size: _Size) -> None:
    side = size.audit_side
    rhs = shifted_laplacian(1, side=side).rhs[0]
    relaxation = np.linspace(1, 1.95, 20 if side == 10 else 4)
    taus = []
    for shift in size.audits:
        matrix = square_laplacian(side) + shift * sp.eye_array(side**2)
        solution = desk.solve(
            f"audit{len(taus)}",
            f"Counts against their bounds, n = {side**2}, shift {shift:g}",
            RelaxationAudit(matrix, rhs, relaxation),
        )
        taus.append(solution.certificate["sor_surrogate"].figures["tau"])
        if len(taus) == 1:
            counts = solution.value
            desk.plot(_audit_plot(relaxation, counts.sor_counts, counts.cg_counts))
    desk.figure(
        "tau, measured, of the near-asymptotic assumption",
        paper=None,
        ours=", ".join(f"{tau:.3f}" for tau in taus),
        note=f"shifts {', '.join(f'{s:g}' for s in size.audits)}, n = {side**2}",
    )


def _audit_plot(relaxation: np.ndarray, sor: np.ndarray, cg: np.ndarray) -> Plot:
    x = relaxation.tolist()
    return Plot(
        "audit",
        "xy",
        "Iterations over the relaxation, one system",
        x_label="relaxation",
        y_label="iterations",
        y_log=True,
        series=(
            Series("SOR", x, [float(v) for v in sor], "markers", "ours"),
            Series("SSOR-CG", x, [float(v) for v in cg], "markers", "ours"),
        ),
    )


def _real_matrix(desk: Desk, pixels: int) -> None:
    """Forty smoothing levels of a photograph: its graph Laplacian, shifted."""
    stream = image_laplacian(pixels, 40)
    title = f"40 shifted graph Laplacians of a photograph, n = {pixels**2}"
    rows = []
    arms = (1.0, 1.3, 1.5, 1.7, 1.9)
    low, high = float(stream.contexts.min()), float(stream.contexts.max())
    learned = desk.solve(
        "photograph",
        title,
        stream,
        LearnedRelaxation(SSORPCG(eisenstat=True), ChebCB((low, high), arms, degree=2)),
    )
    rows.append(_row("ChebCB", learned.value.counts, learned))
    for omega in arms:
        method = LearnedRelaxation(SSORPCG(eisenstat=True), FixedRelaxation(omega))
        fixed = desk.attempt(stream, method)
        rows.append(_row(f"fixed, {omega:g}", fixed.value.counts, fixed))
    desk.table(title, COLUMNS, rows)
