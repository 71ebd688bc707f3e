"""Sparsity-constrained transport against POT, jaxopt and other routers, one judge."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psutil
from threadpoolctl import threadpool_limits

import lemmata as lm
from benchmarks import nasty_sparse
from benchmarks.harness import Contender, Report, Row, Table, false_successes, race
from benchmarks.sparse_layers import project, route
from benchmarks.sparse_pot import (
    ENDLESS,
    Answer,
    iterations_in,
    judged,
    judgement,
    pot_sparse,
    row_error,
)
from lemmata.core import Solution
from lemmata.studies.transport_sparsity_constrained import colour_problem
from lemmata.transport import EntropicTopK, Selection, SemiDual, SparseTransport

COLOURS, CAPS = 128, (2, 4, 8)
FACTORS = (1.0, 1.05, 1.25, 2.0)
OURS = "lemmata SemiDual"
SHARED = "POT, in our time"


def benchmark() -> Report:
    """All tables; about five minutes, everybody on one core."""
    report = Report("transport-sparsity-constrained")
    with _one_core(), threadpool_limits(1):
        raced = {cap: _colours(cap) for cap in CAPS}
        report.tables += [table for table, _ in raced.values()]
        report.tables.append(_bounds(raced))
        report.tables += [route(factor) for factor in FACTORS]
        report.tables += [project(128, 128, 8), project(16, 512, 36)]
        report.false_successes = _false_successes()
    return report


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Holds every thread of the process, XLA's included, on one core, where it can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    _bind({min(before)})
    try:
        yield
    finally:
        _bind(before)


def _bind(cores: set[int]) -> None:
    for thread in psutil.Process().threads():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(thread.id, cores)


def _colours(cap: int) -> tuple[Table, dict[str, Solution]]:
    """The race at one cap, and what the judge says, by contender."""
    problem = colour_problem(COLOURS, cap)
    lm.solve(problem, throw=False)
    seconds = _seconds(lambda: lm.solve(problem, throw=False))
    answers: dict[str, Any] = {}
    table = race(
        f"Colours, 128 x 128, gamma = 1, at most {cap} sources a target",
        "L1 row error",
        _contenders(problem, iterations_in(problem, seconds), answers),
        "ratio above 1: ours is faster; POT in our time has stopThr = 0, and its "
        "defaults are 500 iterations and 1e-9",
    )
    judgements = {who: judgement(problem, answer) for who, answer in answers.items()}
    _annotate(table, judgements)
    return table, judgements


def _contenders(
    problem: SparseTransport, iterations: int, answers: dict[str, Any]
) -> list[Contender]:
    """Everybody at the colours; their answers are left in `answers`."""

    def contender(who: str, kind: Any, run: Callable[[], Any], note: str, rounds=3):
        def kept() -> Any:
            answers[who] = run()
            return answers[who]

        return Contender(
            who,
            kind,
            kept,
            lambda answer: row_error(problem, answer),
            _says_success,
            lambda answer: judgement(problem, answer).certified,
            note,
            rounds,
        )

    def ours(method: Any) -> Callable[[], Solution]:
        return lambda: lm.solve(problem, method, throw=False)

    ended = iterations == ENDLESS
    shared = "stops by itself sooner" if ended else f"{iterations} iterations"
    plain, entropic = SemiDual(recovery=Selection()), EntropicTopK()
    paper, width = "the paper's answer, by L-BFGS", "epsilon = 0.01 of the range"
    return [
        contender(OURS, "ours", ours(SemiDual()), "certificate included"),
        contender("lemmata, selection plan", "baseline", ours(plain), paper, 1),
        contender(SHARED, "peer", lambda: pot_sparse(problem, iterations, 0.0), shared),
        contender("POT, defaults", "peer", lambda: pot_sparse(problem), ""),
        contender("entropic, cut to the cap", "baseline", ours(entropic), width, 1),
    ]


def _says_success(answer: Solution | Answer) -> bool:
    if isinstance(answer, Answer):
        return answer.silent
    return answer.result.name == "converged"


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _bound(judgement: Solution) -> float:
    return judgement.certificate["sparse_lower_bound"].measured


def _annotate(table: Table, judgements: dict[str, Solution]) -> None:
    """Adds bound and gap to the notes, and our row error in units of POT's."""
    errors = {row.who: row.accuracy or 0.0 for row in table.rows}
    for row in table.rows:
        certificate = judgements[row.who].certificate
        gap = "no gap"
        if "sparse_gap" in certificate:
            gap = f"gap {certificate['sparse_gap'].measured:.1e}"
        notes = [row.note, f"D = {_bound(judgements[row.who]):.9f}", gap]
        if row.who == OURS:
            share = errors[OURS] / errors[SHARED]
            notes.append(f"row error {share:.2g} of that of {SHARED}")
        row.note = "; ".join(note for note in notes if note)


def _bounds(raced: dict[int, tuple[Table, dict[str, Solution]]]) -> Table:
    """The dual values side by side, as the judge computes them."""
    table = Table(
        "Lower bound D on the optimum, from everybody's potential",
        "D, by the judge",
        "higher is better; the time is that of the tables above",
    )
    for cap, (race_table, judgements) in raced.items():
        for row in race_table.rows:
            who = f"{row.who}, cap {cap}"
            bound = _bound(judgements[row.who])
            table.rows.append(
                Row(
                    who, row.kind, row.seconds, row.ratio, None, None, bound, None, None
                )
            )
    return table


def _false_successes() -> dict[str, Any]:
    """Who calls what a success, and what the judge says with the best bound known."""
    names = ("lemmata", "POT, no warning", "POT, flag in its log")
    said: dict[str, list[bool | None]] = {name: [] for name in names}
    true: dict[str, list[bool]] = {name: [] for name in names}
    cases = nasty_sparse.cases()
    for problem in cases.values():
        ours = lm.solve(problem, throw=False)
        said["lemmata"].append(ours.certified)
        true["lemmata"].append(judgement(problem, ours).certified)
        answer = pot_sparse(problem)
        right = False
        if np.all(np.isfinite(answer.plan)):
            # In its favour: the gap to whichever potential bounds better.
            right = any(
                judged(problem, answer.plan, alpha).certified
                for alpha in (answer.alpha, ours.value.alpha)
            )
        for name, word in zip(names[1:], (answer.silent, answer.flag), strict=True):
            said[name].append(word)
            true[name].append(right)
    return false_successes(len(cases), said, true)
