"""Global Lipschitz bounds: CVXPY's model of the same inequality, and other peers.

CVXPY with Clarabel and with SCS get the inequality as a user would write it, in the
eliminated coordinates and in the paper's reduced chain. Their answers are solver
tolerances; the judge says what their multipliers really show.
"""

from typing import Any

import jax
import numpy as np

import lemmata as lm
from benchmarks.harness import Contender, Report, Table, false_successes, race
from lemmata.certify import Eigenvalue, GlobalLipschitz, LipSDP, NormProduct, Reduced
from lemmata.certify._example_lipsdp import dense_network
from lemmata.certify._inequality import assemble
from lemmata.certify._multipliers import AbstractConstraints, Eliminated

MAXMIN = {"op": "group_sort", "size": 2}
RANDOM = 10_000  # small networks for the false bounds
CLOSE = 1e-5


def benchmark() -> Report:
    """All tables; about four minutes on two cores."""
    report = Report("certify-lipsdp")
    report.tables.append(_against_cvxpy((32, 32, 32, 10), Eliminated(), rounds=2))
    report.tables.append(_against_cvxpy((64, *(16,) * 6, 10), Eliminated(), rounds=1))
    report.tables.append(_against_cvxpy((64, *(32,) * 8, 10), Reduced(), rounds=1))
    report.tables.append(_deep())
    report.false_successes = _false_bounds(RANDOM)
    return report


def trained_like(sizes: tuple[int, ...], seed: int = 0) -> GlobalLipschitz:
    """A random network of these sizes, MaxMin."""
    return GlobalLipschitz(dense_network(sizes, MAXMIN, seed))


def cvxpy_bound(
    problem: GlobalLipschitz, constraints: AbstractConstraints, solver: str
) -> dict[str, Any]:
    """A generic model: one matrix variable expression, one variable per multiplier."""
    import cvxpy

    with jax.enable_x64(True):
        inequality = assemble(problem.network, constraints)
    rows, base = np.asarray(inequality.rows), np.asarray(inequality.base)
    layout = inequality.layout
    owners, signs = np.asarray(layout.owners), np.asarray(layout.signs)
    theta = cvxpy.Variable(len(layout.kinds))
    spread = np.zeros((len(owners), len(layout.kinds)))
    spread[np.arange(len(owners)), owners] = signs
    matrix = rows.T @ cvxpy.diag(spread @ theta) @ rows + base
    limits = [(matrix + matrix.T) / 2 >> 0, theta[np.flatnonzero(layout.positive)] >= 0]
    model = cvxpy.Problem(cvxpy.Minimize(layout.cost @ theta), limits)
    try:
        model.solve(solver=solver)
    except cvxpy.SolverError:
        return {"bound": np.nan, "success": False, "theta": None, "layout": layout}
    found = theta.value
    bound = np.nan if found is None else float(layout.cost @ found) ** 0.5
    return {
        "bound": bound,
        "success": model.status == "optimal",
        "theta": found,
        "layout": layout,
    }


def _judged(problem: GlobalLipschitz, answer: dict[str, Any], form: int) -> bool:
    """Whether the peer's own multipliers show the peer's own bound."""
    if answer["theta"] is None or not np.isfinite(answer["bound"]):
        return False
    layout, theta = answer["layout"], answer["theta"]
    multipliers = theta[layout.indices(0)]
    if np.any(multipliers < 0):
        return False
    coupling = None
    if form == 1:
        gamma = theta[layout.indices(1)]
        coupling = np.stack([gamma, 0 * gamma, 0 * gamma], axis=1)
    value = problem.candidate(
        multipliers=multipliers,
        form=form,
        coupling=coupling,
        lipschitz_upper=answer["bound"],
    )
    return lm.certify(problem, value).certificate["global_lipschitz_l2"].holds


def _against_cvxpy(
    sizes: tuple[int, ...], constraints: AbstractConstraints, rounds: int
) -> Table:
    problem = trained_like(sizes)
    form = constraints.form
    best = lm.solve(problem, Eigenvalue(constraints, rtol=1e-10), throw=False)
    least = float(best.value.lipschitz_upper)
    jax.clear_caches()  # so that compilation is seen, apart

    def ours(method):
        return lambda: lm.solve(problem, method, throw=False)

    def peer(solver):
        return lambda: cvxpy_bound(problem, constraints, solver)

    contenders = [
        Contender(
            name,
            "ours",
            ours(method),
            lambda s: float(s.value.lipschitz_upper) / least - 1,
            lambda s: s.result.name == "converged",
            lambda s: s.certificate["global_lipschitz_l2"].holds,
            rounds=max(rounds, 2),
        )
        for name, method in (
            ("Eigenvalue", Eigenvalue(constraints)),
            ("LipSDP, Clarabel", LipSDP(constraints)),
        )
    ]
    contenders += [
        Contender(
            f"CVXPY, {solver}",
            "peer",
            peer(solver),
            lambda a: abs(a["bound"] / least - 1),
            lambda a: a["success"],
            lambda a: _judged(problem, a, form),
            rounds=rounds,
        )
        for solver in ("CLARABEL", "SCS")
    ]
    title = f"{'-'.join(map(str, sizes))} MaxMin, {type(constraints).__name__}"
    return race(title, "bound over the least, less 1", contenders)


def _deep() -> Table:
    """Where CVXPY is no choice: 784 inputs, ten layers of 64."""
    problem = trained_like((784, *(64,) * 10, 10))
    runs = {
        "Eigenvalue": Eigenvalue(rtol=1e-6),
        "Eigenvalue, reduced": Eigenvalue(Reduced(), rtol=1e-6),
        "product of norms": NormProduct(),
    }
    contenders = [
        Contender(
            name,
            "baseline" if "product" in name else "ours",
            lambda method=method: lm.solve(problem, method, throw=False),
            lambda s: s.certificate["global_lipschitz_improves"].measured,
            certified=lambda s: s.certificate["global_lipschitz_l2"].holds,
            rounds=1,
        )
        for name, method in runs.items()
    ]
    return race("784 - 10 x 64 - 10 MaxMin", "bound over product of norms", contenders)


def _false_bounds(cases: int) -> dict[str, Any]:
    """Claimed upper bounds below an attained ratio, over small random networks."""
    said: dict[str, list[bool | None]] = {"lemmata": [], "CVXPY, SCS": []}
    true: dict[str, list[bool]] = {"lemmata": [], "CVXPY, SCS": []}
    every = max(cases // 200, 1)  # the peer is asked on 200 of them
    for seed in range(cases):
        problem = GlobalLipschitz(dense_network((2, 4, 2), MAXMIN, seed))
        solution = lm.solve(problem, throw=False)
        held = solution.certificate["global_lipschitz_l2"].holds
        low = float(solution.value.lipschitz_lower)
        said["lemmata"].append(held)
        true["lemmata"].append(float(solution.value.lipschitz_upper) >= low)
        if seed % every == 0:
            answer = cvxpy_bound(problem, Eliminated(), "SCS")
            said["CVXPY, SCS"].append(answer["success"])
            true["CVXPY, SCS"].append(_judged(problem, answer, 0))
    return false_successes(cases, said, true)
