"""Entropic transport against POT and OTT-JAX, and the judge on everybody's answers."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import lemmata as lm
from benchmarks import nasty
from benchmarks.harness import Contender, Report, Row, Table, false_successes, race
from benchmarks.transport_peers import (
    dense,
    ott_answer,
    ott_contenders,
    pot_contenders,
    pot_emd,
    pot_sinkhorn,
    right,
)
from lemmata.studies.transport_sinkhorn_newton import ETA, digits, random_assignment
from lemmata.transport import (
    AdaptiveRelaxation,
    Cityblock,
    EntropicTransport,
    PointCost,
    Sinkhorn,
    SinkhornNewton,
    SquaredEuclidean,
)

ACCURACY = "L1 marginal error"


def benchmark() -> Report:
    """All tables; about ten minutes on two cores."""
    report = Report("transport-sinkhorn-newton")
    report.tables.append(_assignment())
    report.tables.append(_digits(SquaredEuclidean(), 6_000))
    report.tables.append(_digits(Cityblock(), 4_000))
    report.tables.append(_certificate())
    report.tables.append(_large())
    report.false_successes = _false_successes()
    return report


def _assignment() -> Table:
    problem = random_assignment(500, 0)
    title = f"Random assignment, n = 500, 1/epsilon = {ETA:.0f}"
    note = "asked for an L1 marginal error of 1e-10; ratio above 1: ours is faster"
    contenders = [
        *_ours(problem, (SinkhornNewton(), Sinkhorn(relaxation=AdaptiveRelaxation()))),
        *pot_contenders(problem, 100_000),
        *ott_contenders(problem, 60_000),
    ]
    return race(title, ACCURACY, contenders, note)


def _digits(metric: Any, iterations: int) -> Table:
    problem = digits(metric)
    title = f"Two digits, 28 x 28, {metric.name}, 1/epsilon = {ETA:.0f}"
    note = f"peers stop at 1e-10 or after {iterations} iterations"
    contenders = [
        *_ours(problem, (SinkhornNewton(),)),
        *pot_contenders(problem, iterations),
        *ott_contenders(problem, iterations),
    ]
    return race(title, ACCURACY, contenders, note)


def _ours(problem: EntropicTransport, methods: tuple[Any, ...]) -> list[Contender]:
    return [
        Contender(
            _name(method),
            "ours" if isinstance(method, SinkhornNewton) else "baseline",
            lambda method=method: lm.solve(problem, method, throw=False),
            lambda solution: float(solution.stats.trace["error"][-1]),
            lambda solution: solution.result.name == "converged",
            lambda solution: solution.certified,
            note="certificate included",
            rounds=5 if isinstance(method, SinkhornNewton) else 1,
        )
        for method in methods
    ]


def _name(method: Any) -> str:
    relaxed = getattr(method, "relaxation", 1.0) != 1.0
    return type(method).__name__ + (", adaptive over-relaxation" if relaxed else "")


def _certificate() -> Table:
    """What the certificate costs at n = 1000, and the separate program."""
    problem = random_assignment(1_000, 0)
    lm.solve(problem, throw=False)
    solution = lm.solve(problem, throw=False)
    seconds = solution.stats.seconds
    table = Table(
        "Certificate at n = 1000, random assignment",
        "share of the solve",
        "the certificate is made and decided; lemmata-check includes its start",
    )
    share = seconds["certify"] / seconds["run"]
    with tempfile.TemporaryDirectory() as place:
        path = solution.save(Path(place) / "answer.lemma")
        check = _seconds([sys.executable, "-m", "lemmata_checker", str(path)])
    starting = _seconds([sys.executable, "-c", "import lemmata"])
    bare = _seconds([sys.executable, "-c", "pass"])
    for who, taken, accuracy in (
        ("solve", seconds["run"], 1.0),
        ("certificate", seconds["certify"], share),
        ("lemmata-check, process", check, check / seconds["run"]),
        ("import lemmata", starting - bare, None),
    ):
        table.rows.append(
            Row(who, "ours", taken, None, None, None, accuracy, None, None)
        )
    return table


def _seconds(command: list[str]) -> float:
    best = np.inf
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    return best


def _large() -> Table:
    """A cost that is never stored: 20,000 points in space, within 4 GiB."""
    rng = np.random.default_rng(0)
    source, target = rng.uniform(size=(20_000, 3)), rng.uniform(size=(20_000, 3)) ** 2
    problem = EntropicTransport(PointCost(source, target), epsilon=0.05, gap_tol=1e-6)
    contender = Contender(
        "Sinkhorn, blocks",
        "ours",
        lambda: lm.solve(problem, Sinkhorn(), throw=False),
        lambda solution: float(solution.stats.trace["error"][-1]),
        lambda solution: solution.result.name == "converged",
        lambda solution: solution.certified,
        note="certificate included; a stored cost alone would take 3.2 GB",
        rounds=1,
    )
    return race("20,000 points in space, squared distance", ACCURACY, [contender])


def _false_successes() -> dict[str, Any]:
    """Everybody on the nasty set; a plan must be accepted by the judge."""
    tally = _Tally()
    entropic, linear = nasty.entropic(), nasty.linear()
    for problem in entropic.values():
        ours = lm.solve(problem, throw=False, time_limit=60)
        tally.add("lemmata", ours.certified, right(problem, ours.value.dense()))
        arguments = dense(problem)
        for method in ("sinkhorn", "sinkhorn_log", "sinkhorn_stabilized"):
            found = pot_sinkhorn(*arguments, method, 2_000, 1e-9)
            tally.add(f"POT {method}", found.success, right(problem, found.plan))
        found = ott_answer(arguments)
        tally.add("OTT Sinkhorn", found.success, right(problem, found.plan))
    for problem in linear.values():
        ours = lm.solve(problem, throw=False)
        tally.add("lemmata, linear program", ours.certified, ours.certified)
        plan, success = pot_emd(problem)
        judged = lm.certify(problem, problem.candidate(plan=plan))
        tally.add("POT emd", success, judged.certified)
    return false_successes(len(entropic) + len(linear), tally.said, tally.true)


class _Tally:
    """What each contender said of each case, and what the judge says."""

    def __init__(self):
        self.said: dict[str, list[bool | None]] = {}
        self.true: dict[str, list[bool]] = {}

    def add(self, who: str, said: bool, true: bool) -> None:
        self.said.setdefault(who, []).append(said)
        self.true.setdefault(who, []).append(true)
