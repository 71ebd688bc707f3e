"""Sketched Newton against SciPy, Ipopt and optimistix: evaluations, seconds, truth."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import lemmata as lm
from benchmarks import nasty_constrained
from benchmarks.harness import Contender, Report, Row, Table, false_successes, race
from benchmarks.sketched_peers import (
    GOAL,
    IPOPT,
    Answer,
    ipopt,
    optimistix_penalty,
    slsqp,
    trust_constr,
)
from lemmata.data.classification import two_classes
from lemmata.optimize import (
    AdaptiveL1SQP,
    AugmentedLagrangian,
    ConstrainedLogistic,
    ExactNewton,
    InexactL1SQP,
    PDEControl,
    SketchedNewton,
    hock_schittkowski,
    hock_schittkowski_names,
)

OURS = "lemmata SketchedNewton"
PEERS: dict[str, Callable[[Any], Answer]] = {
    "SciPy trust-constr, its default Hessian (BFGS)": lambda p: trust_constr(p, False),
    "SciPy trust-constr, exact Hessians": lambda p: trust_constr(p, True),
    "SciPy SLSQP": slsqp,
}
if IPOPT:
    PEERS["Ipopt, exact Hessians"] = ipopt
NAMED = tuple(name for name in hock_schittkowski_names() if name.startswith("HS"))


def benchmark() -> Report:
    """All tables; some twenty minutes, most of it on HS46 and HS47, whose Hessians are
    singular at the minimum.
    """
    report = Report("optimize-sketched-newton")
    report.tables.append(_evaluations())
    report.tables.append(_seconds("Control of an elliptic equation", PDEControl(6)))
    features, labels = two_classes("breast_cancer")
    problem = ConstrainedLogistic(features, labels)
    report.tables.append(_seconds("Logistic regression, breast cancer", problem))
    report.tables.append(_products())
    report.false_successes = _false_successes()
    return report


def stationary(problem: Any, x: np.ndarray) -> bool:
    """The judge's word on a point: is it a KKT point to the problem's tolerance?"""
    if not np.all(np.isfinite(x)):
        return False
    judged = lm.certify(problem, problem.candidate(x=x))
    return judged.certificate["kkt"].holds


def _calls(solution: Any) -> int:
    trace = solution.stats.trace
    if not solution.stats.steps:
        return 2
    names = ("objective_evaluations", "constraint_evaluations")
    return int(sum(trace[name][-1] for name in names))


def _evaluations() -> Table:
    """Calls of f and c until the KKT residual is 1e-6, each to the same goal."""
    found: dict[str, list[Answer]] = {OURS: []}
    right: dict[str, list[bool]] = {OURS: []}
    seconds: dict[str, list[float]] = {OURS: []}
    work = np.zeros(2)
    for name in NAMED:
        problem = hock_schittkowski(name)
        ours = lm.solve(problem, SketchedNewton(atol=GOAL), throw=False)
        trace, calls = ours.stats.trace, _calls(ours)
        success = ours.result.name == "converged"
        x = np.asarray(ours.value.x)
        good = ours.certificate["kkt"].holds
        found[OURS].append(Answer(x, success, calls, calls if good else None))
        right[OURS].append(good)
        seconds[OURS].append(ours.stats.seconds["run"])
        work += trace["sketched_products"][-1], trace["factorisations"][-1]
        for who, peer in PEERS.items():
            start = time.perf_counter()
            answer = peer(problem)
            seconds.setdefault(who, []).append(time.perf_counter() - start)
            found.setdefault(who, []).append(answer)
            right.setdefault(who, []).append(stationary(problem, answer.x))
    table = Table(
        f"Hock-Schittkowski problems ({len(NAMED)}), to a KKT residual of {GOAL:g}",
        "median of their f + c calls over ours",
        "above 1: they call f and c more often than we do, over problems that both "
        "solve. Exact first derivatives for all. SciPy's seconds contain compilation. "
        f"Ours: {work[0]:.0f} sketched products with KKT matrices, {work[1]:.0f} "
        "factorisations",
    )
    for who, answers in found.items():
        both = [
            theirs.reached / mine.reached
            for mine, theirs in zip(found[OURS], answers, strict=True)
            if mine.reached and theirs.reached
        ]
        solved = sum(right[who])
        calls = [a.reached for a in answers if a.reached]
        table.rows.append(
            Row(
                who,
                "ours" if who == OURS else "peer",
                float(np.median(seconds[who])),
                None,
                None,
                None,
                float(np.median(both)) if both else None,
                all(a.success for a in answers),
                solved == len(NAMED),
                f"solved {solved} of {len(NAMED)} by the judge; median calls "
                f"{np.median(calls):.0f}",
            )
        )
    return table


def _seconds(title: str, problem: Any) -> Table:
    """Seconds at one problem; compilation apart, everybody to 1e-6."""
    contenders = [
        Contender(
            type(method).__name__,
            "ours" if isinstance(method, SketchedNewton) else "baseline",
            lambda method=method: lm.solve(
                problem, method, throw=False, max_steps=2_000, time_limit=60
            ),
            lambda found: float(found.stats.trace["residual"][-1]),
            lambda found: found.result.name == "converged",
            lambda found: found.certificate["kkt"].holds,
            note="certificate included",
            rounds=3 if isinstance(method, SketchedNewton) else 2,
        )
        for method in (
            SketchedNewton(),
            ExactNewton(),
            AugmentedLagrangian(),
            InexactL1SQP(),
            AdaptiveL1SQP(),
        )
    ]
    for who, peer in PEERS.items():
        contenders.append(
            Contender(
                who,
                "peer",
                lambda peer=peer: peer(problem),
                lambda answer: _residual(problem, answer.x),
                lambda answer: answer.success,
                lambda answer: stationary(problem, answer.x),
                note="compiles f, c and derivatives in every run",
                rounds=1,
            )
        )
    size = problem.x0.size + problem.multipliers0.size
    return race(f"{title}, {size} equations", "KKT residual", contenders)


def _residual(problem: Any, x: np.ndarray) -> float:
    judged = lm.certify(problem, problem.candidate(x=x))
    return float(judged.certificate["kkt"].measured)


def _products() -> Table:
    """What touches the KKT matrix, per method, on the control problem."""
    problem = PDEControl(3)
    table = Table(
        "Work on the KKT matrix, control problem, 27 equations",
        "products with it, in units of its size",
        "sketched products, residuals measured and Krylov products together",
    )
    for method in (SketchedNewton(), ExactNewton(), AdaptiveL1SQP()):
        found = lm.solve(problem, method, throw=False)
        trace = found.stats.trace
        names = (
            "sketched_products",
            "residual_products",
            "estimate_products",
            "krylov_products",
        )
        total = sum(float(trace[name][-1]) for name in names if name in trace)
        factorised = int(trace.get("factorisations", [0])[-1])
        table.rows.append(
            Row(
                type(method).__name__,
                "ours" if isinstance(method, SketchedNewton) else "baseline",
                found.stats.seconds["run"],
                None,
                None,
                None,
                total / 27,
                found.result.name == "converged",
                found.certificate["kkt"].holds,
                f"{factorised} factorisations",
            )
        )
    return table


def _false_successes() -> dict[str, Any]:
    """Who calls a point a solution that is no KKT point, or no minimum."""
    said: dict[str, list[bool | None]] = {}
    true: dict[str, list[bool]] = {}
    cases = nasty_constrained.cases()
    for problem in cases.values():
        ours = lm.solve(
            problem, SketchedNewton(max_inner=5_000, max_outer=300), throw=False
        )
        said.setdefault("lemmata", []).append(
            ours.result.name == "converged" and ours.certified
        )
        true.setdefault("lemmata", []).append(_minimum(problem, ours.value))
        peers = PEERS | {"optimistix BFGS, penalty": optimistix_penalty}
        for who, peer in peers.items():
            try:
                answer = peer(problem)
            except Exception:  # a peer that gives up loudly claims no success
                said.setdefault(who, []).append(False)
                true.setdefault(who, []).append(False)
                continue
            point = answer.x if np.all(np.isfinite(answer.x)) else problem.x0
            said.setdefault(who, []).append(answer.success)
            value = problem.candidate(x=point)
            true.setdefault(who, []).append(_minimum(problem, value))
    return false_successes(len(cases), said, true)


def _minimum(problem: Any, value: Any) -> bool:
    """A KKT point, and no proof of the opposite of a minimum."""
    judged = lm.certify(problem, value)
    refused = {d.id for d in judged.certificate.refused}
    return not refused & {"optimize.kkt/1", "optimize.strict_minimum/1"}
