"""The attention SVM against CVXPY, scikit-learn and a plain gradient; all judged."""

from typing import Any

import numpy as np

import lemmata as lm
from benchmarks.attention_peers import Answer, cvxpy_answer, plain_loop, svc_answer
from benchmarks.harness import Contender, Report, Row, Table, false_successes, race
from lemmata.core import NotCertified, NotConverged
from lemmata.geometry import (
    AttentionSVM,
    ConicSVM,
    DualActiveSet,
    NormalizedGradient,
    NuclearADMM,
    TextbookGradient,
    selection,
)
from lemmata.studies._attention_data import sequences, training

LARGE = (50, 20, 64)
NUCLEAR = (15, 10, 16)
ROUNDS = 3


def benchmark(shape: tuple[int, int, int] = LARGE) -> Report:
    """All tables; about two minutes on two cores."""
    report = Report("geometry-attention-svm")
    report.tables.append(_frobenius(shape))
    report.tables.append(_nuclear(NUCLEAR))
    report.tables.append(_gradients())
    report.false_successes = _false_successes()
    return report


def _problem(shape: tuple[int, int, int], norm: str, seed: int = 0) -> AttentionSVM:
    tokens, queries, labels, v = sequences(*shape, seed)
    scores = labels[:, None] * (tokens @ v)
    return AttentionSVM(tokens, queries, scores=scores, norm=norm)


def _scaled(problem: AttentionSVM, answer: Answer) -> np.ndarray:
    """Margins of exactly one: every peer gets the repair that our methods make."""
    at, w = problem.constraints(), answer.weights
    sure = at.margins(w) - at.rounding(w)
    least = float(np.min(sure[at.active]))
    return w * ((1 + 2.0**-50) / least) if least > 0 else w


def _gap(problem: AttentionSVM, multipliers: np.ndarray, answer: Answer) -> float:
    value = problem.candidate(weights=_scaled(problem, answer), multipliers=multipliers)
    certificate = lm.certify(problem, value).certificate
    if "least_norm" not in certificate:  # nothing separates
        return float("inf")
    return certificate["least_norm"].measured


def _contender(
    who: str, kind: Any, run: Any, problem: AttentionSVM, mu: np.ndarray, rounds: int
) -> Contender:
    return Contender(
        who,
        kind,
        run,
        lambda answer: _gap(problem, mu, answer),
        lambda answer: answer.success,
        lambda answer: bool(_gap(problem, mu, answer) <= 1e-8),
        rounds=rounds,
    )


def _ours(problem: AttentionSVM, method: Any) -> Answer:
    solution = lm.solve(problem, method, throw=False)
    return Answer(solution.value.weights, solution.result.name == "converged")


def _frobenius(shape: tuple[int, int, int]) -> Table:
    problem = _problem(shape, "frobenius")
    mu = lm.solve(problem, throw=False).value.multipliers
    runs = {
        "DualActiveSet": ("ours", lambda: _ours(problem, DualActiveSet()), 5),
        "CVXPY with Clarabel": (
            "peer",
            lambda: cvxpy_answer(problem, "CLARABEL"),
            1,
        ),
        "CVXPY with OSQP": ("peer", lambda: cvxpy_answer(problem, "OSQP"), 1),
        "scikit-learn SVC, mirrored Gram": (
            "peer",
            lambda: svc_answer(problem),
            ROUNDS,
        ),
    }
    contenders = [
        _contender(who, kind, run, problem, mu, rounds)
        for who, (kind, run, rounds) in runs.items()
    ]
    n, t, d = shape
    note = "certified: a gap of at most 1e-8, after each answer is scaled to margin 1"
    return race(f"Frobenius, n = {n}, T = {t}, d = {d}", "proved gap", contenders, note)


def _nuclear(shape: tuple[int, int, int]) -> Table:
    problem = _problem(shape, "nuclear")
    mu = lm.solve(problem, throw=False).value.multipliers
    runs = {
        "NuclearADMM": ("ours", lambda: _ours(problem, NuclearADMM()), 5),
        "ConicSVM (Clarabel, reduced)": (
            "baseline",
            lambda: _ours(problem, ConicSVM()),
            ROUNDS,
        ),
        "CVXPY with Clarabel": ("peer", lambda: cvxpy_answer(problem, "CLARABEL"), 1),
        "CVXPY with SCS": ("peer", lambda: cvxpy_answer(problem, "SCS"), 1),
    }
    contenders = [
        _contender(who, kind, run, problem, mu, rounds)
        for who, (kind, run, rounds) in runs.items()
    ]
    n, t, d = shape
    note = "certified: a gap of at most 1e-8, after each answer is scaled to margin 1"
    return race(f"Nuclear, n = {n}, T = {t}, d = {d}", "proved gap", contenders, note)


def _gradients(steps: int = 10_000, runs: int = 10) -> Table:
    """Equal steps from the same start; cosine with the SVM of each own selection."""
    table = Table(
        f"Normalised gradient, {steps} steps, n = 6, T = 8, d = 10",
        "least cosine",
        f"the least over {runs} seeds of the cosine with the selection's SVM",
    )
    ways = {
        "StableGradient": ("ours", lambda p, k: _trained(p, k, steps)),
        "TextbookGradient": (
            "baseline",
            lambda p, k: _trained(p, k, steps, TextbookGradient()),
        ),
        "plain JAX loop, softmax and grad": (
            "peer",
            lambda p, k: plain_loop(p, k, steps),
        ),
    }
    rows = {}
    for who, (kind, run) in ways.items():
        cosines, seconds = [], []
        for seed in range(runs):
            problem = training(seed)
            weights, taken = run(problem, seed)
            cosines.append(selection(problem, weights).cosine_frobenius)
            seconds.append(taken)
        least = float(np.nanmin(cosines))
        rows[who] = (kind, float(np.median(seconds)), least)
    ours = rows["StableGradient"][1]
    for who, (kind, taken, least) in rows.items():
        table.rows.append(
            Row(who, kind, taken, taken / ours, None, None, least, None, least >= 0.999)
        )
    return table


def _trained(problem: Any, key: int, steps: int, gradient: Any = None) -> Any:
    method = NormalizedGradient(steps=steps)
    if gradient is not None:
        method = NormalizedGradient(steps=steps, gradient=gradient)
    solution = lm.solve(problem, method, key=key, throw=False)
    return solution.value.weights, solution.stats.seconds["run"]


def _nasty() -> dict[str, AttentionSVM]:
    """Tight, scaled, nearly infeasible and infeasible selections."""
    rng = np.random.default_rng(3)
    tokens, queries = rng.normal(size=(6, 6, 6)), rng.normal(size=(6, 6))
    chosen = np.argmax(tokens @ rng.normal(size=6), axis=1)
    near = tokens.copy()
    near[:, 1] = near[:, 0] + 1e-4 * rng.normal(size=(6, 6))
    inside = tokens.copy()
    inside[0, 0] = inside[0, 1:].mean(axis=0)
    scales = 10.0 ** rng.uniform(-4, 4, size=(6, 1))
    return {
        "well posed": AttentionSVM(tokens, queries, chosen),
        "huge": AttentionSVM(1e5 * tokens, queries, chosen),
        "tiny": AttentionSVM(1e-5 * tokens, queries, chosen),
        "queries of many sizes": AttentionSVM(tokens, scales * queries, chosen),
        "nearly equal tokens": AttentionSVM(near, queries, np.zeros(6, int)),
        "infeasible": AttentionSVM(inside, queries, np.zeros(6, int)),
    }


def _false_successes() -> dict[str, Any]:
    """A success is false where the judge finds a margin below 1 or a gap above 1e-6."""
    said: dict[str, list[bool | None]] = {}
    true: dict[str, list[bool]] = {}
    cases = _nasty()
    for problem in cases.values():
        mu = lm.solve(problem, throw=False).value.multipliers
        loose = AttentionSVM(
            problem.tokens, problem.queries, problem.selected, gap_tol=1e-6
        )
        answers = {
            "lemmata": lambda p=problem: _careful(p),
            "CVXPY with Clarabel": lambda p=problem: cvxpy_answer(p, "CLARABEL"),
            "CVXPY with OSQP": lambda p=problem: cvxpy_answer(p, "OSQP"),
            "scikit-learn SVC": lambda p=problem: svc_answer(p),
        }
        for who, run in answers.items():
            answer = run()
            said.setdefault(who, []).append(answer.success)
            good = bool(np.all(np.isfinite(answer.weights)))
            good = good and _gap(loose, mu, answer) <= 1e-6
            true.setdefault(who, []).append(good)
    return false_successes(len(cases), said, true)


def _careful(problem: AttentionSVM) -> Answer:
    try:
        return Answer(lm.solve(problem).value.weights, True)
    except (NotConverged, NotCertified) as refused:
        return Answer(refused.solution.value.weights, False)
