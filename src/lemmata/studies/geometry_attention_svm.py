"""Attention training and the support vector machine that it converges to.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak (arXiv 2308.16898), sections 3 to
5: local convergence, ranks, several surviving tokens, trajectories in two dimensions.
"""

from dataclasses import dataclass

import numpy as np

from ..core import Solution
from ..geometry import (
    AttentionSVM,
    ConicSVM,
    Factored,
    NormalizedGradient,
    RegularizationPath,
    TextbookGradient,
    generalized_direction,
    selection,
)
from ._attention_data import (
    digits,
    mean_distance,
    nonlinear,
    sequences,
    training,
)
from ._attention_scenes import plane, ranks
from ._desk import Desk
from ._record import Expected, Plot, Series

_SEPARATED: dict[str, Expected] = {"geometry.no_separation/1": "withheld"}
_ONE_TOKEN: dict[str, Expected] = {"geometry.surviving_tokens/1": "withheld"}
_LOCAL: dict[str, Expected] = {"geometry.not_locally_optimal/1": "withheld"}
_NO_SCORES: dict[str, Expected] = {
    "geometry.locally_optimal/1": "withheld",
    "geometry.not_locally_optimal/1": "withheld",
}
_SEVERAL: dict[str, Expected] = {
    **_NO_SCORES,
    "geometry.attention_direction/1": "withheld",
    "geometry.attention_margin/1": "withheld",
}
_ELSEWHERE: dict[str, Expected] = {
    "geometry.attention_direction/1": "fails",
    "geometry.attention_margin/1": "fails",
}


@dataclass(frozen=True)
class _Size:
    steps: int
    runs: int
    ranks: tuple[int, ...]
    survivors: tuple[int, ...]
    digits: int
    plane: bool


SIZES = {
    "tour": _Size(10_000, 0, (), (), 0, False),
    "quick": _Size(10_000, 20, (5, 10, 15), (4, 6, 8, 10), 12, True),
    "paper": _Size(10_000, 100, (5, 10, 15), (4, 6, 8, 10), 12, True),
}


def study(size: str, desk: Desk) -> None:
    """One run in full, then statistics over many."""
    chosen = SIZES[size]
    desk.say(
        "One attention layer is trained until its softmax saturates. Its weights grow "
        "without bound, in the direction of a support vector machine that separates "
        "one token of each input from the others: in the Frobenius norm if W is "
        "trained, in the nuclear norm if K and Q are."
    )
    _solutions(desk)
    _runs(desk, chosen.steps)
    if chosen.runs:
        _statistics(desk, chosen)
        _path(desk)
        ranks(desk, chosen.ranks, chosen.runs)
        for d in chosen.survivors:
            _survivors(desk, d, chosen.runs)
        _digits(desk, chosen.digits)
    if chosen.plane:
        plane(desk)


def _solutions(desk: Desk) -> None:
    tokens, queries, labels, v = sequences()
    scores = labels[:, None] * (tokens @ v)
    rows = []
    for norm, local in (("frobenius", _LOCAL), ("nuclear", _NO_SCORES)):
        problem = AttentionSVM(tokens, queries, scores=scores, norm=norm)
        name = norm.capitalize() if norm == "frobenius" else "nuclear"
        ours = desk.solve(
            f"svm_{norm}",
            f"The attention SVM in the {name} norm",
            problem,
            expect=_SEPARATED | local,
        )
        rows.append(_solved_row(norm, ours))
        rows.append(_solved_row(norm, desk.attempt(problem, ConicSVM())))
    columns = ("norm", "method", "steps", "seconds", "proved gap", "rank")
    desk.table("The SVM of the best tokens, n = 6, T = 8, d = 10", columns, rows)


def _solved_row(norm: str, solution: Solution) -> tuple:
    gap = solution.certificate["least_norm"].measured
    method = type(solution.method).__name__
    seconds = round(solution.stats.seconds["run"], 4)
    return norm, method, solution.stats.steps, seconds, gap, solution.value.rank


def _runs(desk: Desk, steps: int) -> None:
    problem = training()
    joint = desk.solve(
        "joint",
        "Training W, with the stable gradient",
        problem,
        NormalizedGradient(steps=steps),
        expect=_ONE_TOKEN | _LOCAL,
    )
    textbook = desk.solve(
        "textbook",
        "Training W, with the textbook gradient: round-off decides the direction",
        problem,
        NormalizedGradient(steps=steps, gradient=TextbookGradient()),
        expect=_ONE_TOKEN | _LOCAL | _ELSEWHERE,
    )
    factored = desk.solve(
        "factored",
        "Training K and Q",
        problem,
        NormalizedGradient(Factored(), steps=steps),
        expect=_ONE_TOKEN | _LOCAL,
    )
    rows = []
    for name, run in (("W", joint), ("textbook", textbook), ("K, Q", factored)):
        found = selection(problem, run.value)
        share = run.certificate["attention_margin"].measured
        cosines = (found.cosine_frobenius, found.cosine_nuclear)
        rows.append((name, *(round(c, 5) for c in cosines), round(share, 4)))
    columns = ("trained", "cosine Frobenius", "cosine nuclear", "share of the margin")
    desk.table(f"After {steps} steps", columns, rows)
    desk.plot(
        Plot(
            "probability",
            "xy",
            "Probability of the selected tokens",
            caption="The mean over inputs of the softmax's largest entry.",
            x_label="gradient steps",
            x_log=True,
            y_label="probability",
            series=(_trace("W", joint), _trace("K, Q", factored)),
        )
    )


def _trace(name: str, run: Solution) -> Series:
    trace = run.stats.trace
    return Series(name, trace["gradient_steps"].tolist(), trace["probability"].tolist())


def _statistics(desk: Desk, size: _Size) -> None:
    """(a): cosines over many runs, with the best tokens and without."""
    kinds = {
        "W": NormalizedGradient(steps=size.steps),
        "W, textbook gradient": NormalizedGradient(
            steps=size.steps, gradient=TextbookGradient()
        ),
        "K, Q": NormalizedGradient(Factored(), steps=size.steps),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
    best = []
    for seed in range(size.runs):
        problem = training(seed)
        for name, method in kinds.items():
            run = desk.attempt(problem, method, key=seed)
            seen = selection(problem, run.value)
            found[name].append((seen.cosine_frobenius, seen.cosine_nuclear))
            if name == "W":
                best.append(bool(seen.globally_optimal))
    rows = []
    for name, pairs in found.items():
        cosines = np.array(pairs)
        quantiles = [np.nanmin(cosines, axis=0), np.nanmedian(cosines, axis=0)]
        rows.append((name, *(f"{q[k]:.5f}" for k in (0, 1) for q in quantiles)))
    desk.table(
        f"{size.runs} runs of {size.steps} steps, each against its own selection",
        ("trained", "Frobenius least", "median", "nuclear least", "median"),
        rows,
    )
    joint, factored = np.array(found["W"]), np.array(found["K, Q"])
    desk.figure(
        "Cosine of W with the Frobenius SVM",
        paper="near 1, figure only",
        ours=f"least {joint[:, 0].min():.5f} over {size.runs} runs",
        note=f"{np.mean(best):.0%} of the runs select the best token of every input",
    )
    desk.figure(
        "Cosine of K Q' with the nuclear SVM",
        paper="near 1, figure only",
        ours=f"at least 0.98 in {np.mean(factored[:, 1] >= 0.98):.0%} of the runs",
        note=f"least {factored[:, 1].min():.4f}",
    )


def _path(desk: Desk) -> None:
    problem = training()
    series = []
    for name, parameterization in (("Frobenius", None), ("nuclear", Factored())):
        method = (
            RegularizationPath()
            if parameterization is None
            else RegularizationPath(parameterization=parameterization)
        )
        run = desk.solve(
            f"path_{name.lower()}",
            f"The regularisation path, {name} ball",
            problem,
            method,
            expect=_ONE_TOKEN | _LOCAL,
        )
        claim = next(
            c for c in run.certificate.claims if c.id == "geometry.attention_path/1"
        )
        reference, steps = claim.witness["reference"], claim.witness["path"]
        sizes = np.linalg.norm(steps, axis=(1, 2)) * np.linalg.norm(reference)
        cosines = np.sum(steps * reference, axis=(1, 2)) / sizes
        away = np.maximum(1 - cosines, 1e-16)
        series.append(Series(name, claim.witness["radii"].tolist(), away.tolist()))
    desk.plot(
        Plot(
            "path",
            "xy",
            "The regularisation path turns to the SVM",
            caption="1 - cosine of the best weights of each norm with the solution.",
            x_label="norm R",
            y_label="1 - cosine",
            x_log=True,
            y_log=True,
            series=tuple(series),
        )
    )


def _survivors(desk: Desk, d: int, runs: int) -> None:
    """(c): 1 - cosine under the generalised model, its direction, one token."""
    figures, undecided, kept = [], 0, False
    method = NormalizedGradient(steps=2_000, start_scale=0.0)
    for seed in range(runs):
        problem = nonlinear(d, seed)
        run = desk.attempt(problem, method)
        found = generalized_direction(problem, run.value)
        if found.undecided or not found.feasible:
            undecided += 1
            continue
        single = selection(problem, run.value).cosine_frobenius
        figures.append((found.cosine, found.cosine_direction, single))
        if not kept and "surviving_tokens" in run.certificate:
            kept = True
            title = f"Several tokens survive, d = {d}"
            desk.keep(f"survivors{d}", title, run, _SEVERAL)
    means = [mean_distance(column) for column in zip(*figures, strict=True)]
    if not means:
        return
    desk.figure(
        f"Mean 1 - cosine under a relu head, d = {d}",
        paper="generalised far below one token, figure only",
        ours=f"{means[0]:.1e} with W^fin, {means[1]:.1e} W^mm, {means[2]:.2f} one",
        note=f"{len(figures)} runs from zero; {undecided} more undecided",
    )


def _digits(desk: Desk, count: int) -> None:
    problem = digits(count)
    method = NormalizedGradient(steps=10_000, step_size=1.0, start_scale=0.0)
    run = desk.attempt(problem, method)
    found = selection(problem, run.value)
    desk.say(
        f"On {count} digits 3 and 8, each image a sequence of eight rows, training "
        f"selects the rows {', '.join(map(str, found.selected))}; the cosine with "
        f"their SVM is {found.cosine_frobenius:.3f}."
    )
    local: dict[str, Expected] = (
        _LOCAL if found.locally_optimal else {"geometry.locally_optimal/1": "withheld"}
    )
    desk.keep(
        "digits",
        "The SVM of the rows that training selects in digits",
        found.frobenius,
        _SEPARATED | local,
    )
