"""Learned relaxation against fixed ones, and against SciPy, PyAMG and lineax.

Everybody solves the same systems one after another to the same residual, from the same
starts. The first tables count iterations, which is what the policies minimise; the
others take the time.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, cg, spilu

import lemmata as lm
from benchmarks.harness import Contender, Report, Row, Table, race
from benchmarks.linear_solvers import tables, wrong_successes
from lemmata.core import float64
from lemmata.linear import (
    SOR,
    SSORPCG,
    ChebCB,
    FixedRelaxation,
    LearnedRelaxation,
    TsallisINF,
    YoungRelaxation,
    moving_heat_source,
    relaxation_table,
    shifted_laplacian,
)
from lemmata.studies.linear_learning_to_relax import FAMILIES, INTERVAL

SYSTEMS, SEEDS = 2_000, 5
HEAT = (50, 300)  # intervals along a side, steps, where peers take part
RTOL = 1e-8
WORST = "worst relative residual"


def benchmark() -> Report:
    """All tables; about four minutes on two cores."""
    report = Report("linear-learning-to-relax")
    for family in FAMILIES:
        report.tables.append(_counts(family))
    report.tables.append(_heat_counts(50, 1_000))
    report.tables.append(_shift_race())
    report.tables.append(_heat_race())
    report.tables.append(_overhead())
    report.tables += tables((10_000, 100_000))
    report.false_successes = wrong_successes()
    return report


def _counts(family: str) -> Table:
    """Iterations of learners over those of the best fixed relaxation in hindsight."""
    stream = shifted_laplacian(SYSTEMS, concentration=FAMILIES[family])
    costs = relaxation_table(stream, SOR(), 20)
    totals = costs.counts.sum(axis=0)
    best = int(np.argmin(totals))
    late = slice(-500, None)
    table = Table(
        f"SOR iterations on {SYSTEMS} shifted Laplacians, n = 100, {family} variance",
        "all iterations over the best fixed",
        "accuracy: total over the best fixed relaxation's in hindsight; note: mean of "
        f"the last 500; learners: mean of {SEEDS} keys",
    )

    def row(who: str, kind: str, counts: list[np.ndarray], certified: Any) -> Row:
        total = float(np.mean([c.sum() for c in counts]))
        last = float(np.mean([c[late].mean() for c in counts]))
        note = f"{total / SYSTEMS:.1f} a system, last 500: {last:.1f}"
        share = total / totals[best]
        return Row(who, kind, None, None, None, None, share, None, certified, note)

    for policy in (ChebCB(INTERVAL), TsallisINF()):
        method = LearnedRelaxation(SOR(), policy)
        runs = [lm.solve(stream, method, key=key, throw=False) for key in range(SEEDS)]
        counts = [run.value.counts for run in runs]
        name = type(policy).__name__
        table.rows.append(row(name, "ours", counts, all(r.certified for r in runs)))
    young = lm.solve(stream, LearnedRelaxation(SOR(), YoungRelaxation()), throw=False)
    table.rows += [
        row("Young's, for each system", "baseline", [young.value.counts], True),
        row(
            f"best fixed, {_omega(best):.2f}", "baseline", [costs.counts[:, best]], None
        ),
        row("fixed, 1", "baseline", [costs.counts[:, 0]], None),
    ]
    return table


def _omega(arm: int) -> float:
    return float(np.linspace(1, 1.95, 20)[arm])


def _heat_counts(nx: int, steps: int) -> Table:
    problem = moving_heat_source(nx, steps)
    policies = {f"fixed, {w:g}": FixedRelaxation(w) for w in (1, 1.3, 1.5, 1.75, 1.9)}
    learners = {"ChebCB": ChebCB((0.0, 10.0)), "TsallisINF": TsallisINF()}
    found = {
        name: lm.solve(problem, LearnedRelaxation(SSORPCG(), policy), throw=False)
        for name, policy in (learners | policies).items()
    }
    totals = {name: int(run.value.counts.sum()) for name, run in found.items()}
    best = min(totals[name] for name in policies)
    table = Table(
        f"SSOR-CG iterations, heat equation, nx = {nx}, {steps} steps",
        "all iterations over the best fixed",
        "accuracy: total over the best of the fixed relaxations",
    )
    for name, run in found.items():
        kind = "ours" if name in learners else "baseline"
        seconds, note = run.stats.seconds["run"], f"{totals[name] / steps:.2f} a step"
        table.rows.append(
            Row(
                name,
                kind,
                seconds,
                None,
                run.stats.seconds["compile"],
                None,
                totals[name] / best,
                run.result.name == "converged",
                run.certified,
                note,
            )
        )
    return table


Systems = list[tuple[sp.csr_array, np.ndarray, np.ndarray]]


def _systems(stream: Any, solutions: np.ndarray) -> Systems:
    """(A, b, x_0) of every system, previous solutions from a certified run."""
    found, last = [], None
    with float64():
        for index in range(stream.length):
            system = stream.system(index, last)
            matrix = stream.matrix(index, last)
            found.append((matrix, np.asarray(system.rhs), np.asarray(system.start)))
            last = solutions[index]
    return found


Solver = Callable[[sp.csr_array, np.ndarray, np.ndarray], tuple[np.ndarray, bool]]


def _peer(who: str, systems: Systems, solve: Solver, rounds: int = 1) -> Contender:
    def run() -> tuple[float, bool]:
        worst, said = 0.0, True
        for matrix, rhs, start in systems:
            x, success = solve(matrix, rhs, start)
            size = np.linalg.norm(rhs - matrix @ x) / np.linalg.norm(rhs)
            worst, said = max(worst, float(size)), said and success
        return worst, said

    return Contender(
        who,
        "peer",
        run,
        accuracy=lambda answer: answer[0],
        success=lambda answer: answer[1],
        certified=lambda answer: answer[0] <= RTOL,
        rounds=rounds,
    )


def _ours(who: str, problem: Any, method: Any, kind: Any = "ours") -> Contender:
    return Contender(
        who,
        kind,
        lambda: lm.solve(problem, method, throw=False),
        accuracy=lambda s: s.certificate["sequence_residual"].measured,
        success=lambda s: s.result.name == "converged",
        certified=lambda s: s.certified,
        note="certificate included",
        rounds=3,
    )


def _scipy(matrix, rhs, start, **options):
    x, code = cg(matrix, rhs, start, rtol=RTOL, atol=0.0, maxiter=10_000, **options)
    return x, code == 0


def _scipy_ilu(matrix, rhs, start):
    factor = spilu(matrix.tocsc(), drop_tol=1e-3)
    form = LinearOperator(matrix.shape, factor.solve)
    return _scipy(matrix, rhs, start, M=form)


def _scipy_ssor(matrix, rhs, start):
    from scipy.sparse.linalg import spsolve_triangular

    diagonal = matrix.diagonal()
    lower = sp.csr_array(sp.tril(matrix, -1) + sp.diags_array(diagonal))
    upper = sp.csr_array(lower.T)

    def apply(r):
        inner = spsolve_triangular(lower, r, lower=True)
        return spsolve_triangular(upper, diagonal * inner, lower=False)

    return _scipy(matrix, rhs, start, M=LinearOperator(matrix.shape, apply))


def _pyamg_sor(omega: float) -> Solver:
    from pyamg.relaxation.relaxation import sor

    def solve(matrix, rhs, start):
        matrix = sp.csr_matrix(matrix)
        x, goal = start.copy(), RTOL * np.linalg.norm(rhs)
        for _ in range(10_000):
            if np.linalg.norm(rhs - matrix @ x) <= goal:
                return x, True
            sor(matrix, x, rhs, omega)
        return x, False

    return solve


def _pyamg_cg(matrix, rhs, start):
    import pyamg

    solver = pyamg.ruge_stuben_solver(sp.csr_matrix(matrix))
    x, code = solver.solve(
        rhs, x0=start, tol=RTOL, accel="cg", maxiter=1000, return_info=True
    )
    return x, code == 0


def _lineax() -> Solver:
    import jax
    import jax.numpy as jnp
    import lineax as lx

    @jax.jit
    def compiled(dense, rhs, start):
        operator = lx.MatrixLinearOperator(dense, lx.positive_semidefinite_tag)
        solver = lx.CG(rtol=RTOL, atol=0.0, max_steps=10_000)
        options = {"y0": start}
        found = lx.linear_solve(operator, rhs, solver, options=options, throw=False)
        return found.value, found.result == lx.RESULTS.successful

    def solve(matrix, rhs, start):
        with float64():
            dense = jnp.asarray(matrix.toarray())
            x, good = compiled(dense, jnp.asarray(rhs), jnp.asarray(start))
            return np.asarray(x), bool(good)

    return solve


def _shift_race() -> Table:
    stream = shifted_laplacian(300)
    learned = LearnedRelaxation(SOR(), ChebCB(INTERVAL))
    systems = _systems(stream, lm.solve(stream, learned, throw=False).value.solutions)
    contenders = [
        _ours("SOR, ChebCB", stream, learned),
        _ours("SOR, relaxation 1", stream, _fixed(SOR()), "baseline"),
        _ours("SSOR-CG, relaxation 1", stream, _fixed(SSORPCG()), "baseline"),
        _peer("SciPy cg", systems, _scipy),
        _peer("SciPy cg, spilu", systems, _scipy_ilu),
        _peer("SciPy cg, SSOR at 1", systems, _scipy_ssor),
        _peer("PyAMG sor, 1", systems, _pyamg_sor(1.0)),
        _peer("PyAMG sor, 1.8", systems, _pyamg_sor(1.8)),
        _peer("PyAMG ruge_stuben, cg", systems, _pyamg_cg),
        _peer("lineax CG, dense", systems, _lineax(), rounds=3),
    ]
    note = "set-up of each system included"
    return race("300 shifted Laplacians, n = 100", WORST, contenders, note)


def _fixed(solver: Any) -> LearnedRelaxation:
    return LearnedRelaxation(solver, FixedRelaxation(1.0))


def _heat_race() -> Table:
    nx, steps = HEAT
    problem = moving_heat_source(nx, steps)
    learned = LearnedRelaxation(SSORPCG(), ChebCB((0.0, 10.0)))
    solution = lm.solve(problem, learned, throw=False)
    systems = _systems(problem, solution.value.solutions)
    contenders = [
        _ours("SSOR-CG, ChebCB", problem, learned),
        _ours("SSOR-CG, relaxation 1", problem, _fixed(SSORPCG()), "baseline"),
        _peer("SciPy cg", systems, _scipy),
        _peer("SciPy cg, spilu", systems, _scipy_ilu),
        _peer("PyAMG ruge_stuben, cg", systems, _pyamg_cg),
    ]
    title = f"Heat equation, nx = {nx}, {steps} steps"
    return race(title, WORST, contenders, "set-up of each system included")


def _overhead() -> Table:
    """What a round of learning costs, d = 20, m = 6, without any solve."""
    from lemmata.linear import PlayPolicy, RelaxationTable

    rng = np.random.default_rng(0)
    problem = RelaxationTable(
        rng.integers(30, 300, size=(1000, 20)),
        np.linspace(1, 1.95, 20),
        context=rng.uniform(size=1000),
    )
    table = Table("A round of learning, 20 arms, degree 6", "", "a thousand rounds")
    for policy in (TsallisINF(), ChebCB((0.0, 1.0))):
        method = PlayPolicy(policy, trials=1)
        lm.solve(problem, method, throw=False)
        taken = [_seconds(problem, method) / 1000 for _ in range(3)]
        table.rows.append(
            Row(
                type(policy).__name__,
                "ours",
                statistics.median(taken),
                None,
                None,
                None,
                None,
                None,
                None,
            )
        )
    return table


def _seconds(problem: Any, method: Any) -> float:
    start = time.perf_counter()
    solution = lm.solve(problem, method, throw=False)
    certify = solution.stats.seconds["certify"]
    return time.perf_counter() - start - certify
