"""POT's and OTT-JAX's Sinkhorn as contenders at entropic transport."""

import contextlib
import io
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import ot
from ott.geometry import geometry
from ott.problems.linear import linear_problem
from ott.solvers.linear import acceleration, sinkhorn
from threadpoolctl import threadpool_limits

import lemmata as lm
from benchmarks.harness import Contender
from lemmata.transport import EntropicTransport, OptimalTransport

ERROR = 1e-10  # L1 marginal error that everybody is asked for


def pot_contenders(problem: EntropicTransport, iterations: int) -> list[Contender]:
    """POT's plain Sinkhorn at one and two threads, and its two stable variants."""
    threshold = _calibrated(dense(problem), iterations)
    return [
        _pot(problem, "sinkhorn", iterations, threshold, 1, 3),
        _pot(problem, "sinkhorn", iterations, threshold, 2, 3),
        _pot(problem, "sinkhorn_stabilized", min(iterations, 10_000), threshold, 1, 1),
        _pot(problem, "sinkhorn_log", 500, threshold, 1, 1),
    ]


def _pot(
    problem: EntropicTransport,
    method: str,
    iterations: int,
    threshold: float,
    threads: int,
    rounds: int,
) -> Contender:
    arguments = dense(problem)

    def run():
        with threadpool_limits(threads):
            return pot_sinkhorn(*arguments, method, iterations, threshold)

    return Contender(
        f"POT {method}, {threads} thread{'s' if threads > 1 else ''}",
        "peer",
        run,
        lambda answer: marginal_error(answer.plan, *arguments[:2]),
        lambda answer: answer.success,
        lambda answer: judged(problem, answer.plan),
        note=f"stopThr {threshold:g}, at most {iterations} iterations",
        rounds=rounds,
    )


class Answer:
    """A peer's plan and whether the peer says that it succeeded."""

    def __init__(self, plan: np.ndarray, success: bool):
        self.plan, self.success = np.asarray(plan), success


def pot_sinkhorn(source, target, cost, epsilon, method, iterations, threshold):
    """POT's Sinkhorn, silenced; success means that it did not warn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.redirect_stdout(io.StringIO()):
            plan = ot.sinkhorn(
                source,
                target,
                cost,
                reg=epsilon,
                method=method,
                numItermax=iterations,
                stopThr=threshold,
            )
    return Answer(plan, not caught)


def _calibrated(arguments: tuple, iterations: int) -> float:
    """The loosest threshold (POT's is Euclidean) that gives `ERROR` in L1, if any."""
    for threshold in (1e-11, 4e-12, 2e-12):
        answer = pot_sinkhorn(*arguments, "sinkhorn", iterations, threshold)
        if marginal_error(answer.plan, *arguments[:2]) <= ERROR or not answer.success:
            break
    return threshold


def ott_contenders(problem: EntropicTransport, iterations: int) -> list[Contender]:
    """OTT's Sinkhorn with a kernel, with momentum, and in the log domain."""
    variants = {
        "kernel": {"lse_mode": False},
        "kernel, momentum 1.5": {
            "lse_mode": False,
            "momentum": acceleration.Momentum(value=1.5),
        },
        "log domain": {"lse_mode": True},
        "log domain, Anderson": {
            "lse_mode": True,
            "anderson": acceleration.AndersonAcceleration(memory=5),
        },
    }
    return [
        ott_contender(problem, name, options, iterations)
        for name, options in variants.items()
    ]


def ott_contender(problem, name, options, iterations) -> Contender:
    source, target, cost, epsilon = dense(problem)
    if options["lse_mode"]:  # slow per sweep: a shorter run shows where it stands
        iterations = min(iterations, 2_000)
    solver = sinkhorn.Sinkhorn(
        threshold=ERROR, max_iterations=iterations, inner_iterations=10, **options
    )

    @jax.jit
    def solve(cost, source, target):
        where = geometry.Geometry(cost_matrix=cost, epsilon=epsilon)
        out = solver(linear_problem.LinearProblem(where, source, target))
        return out.matrix, out.converged

    def run():
        with jax.enable_x64(True):
            arrays = (jnp.asarray(v) for v in (cost, source, target))
            plan, converged = jax.block_until_ready(solve(*arrays))
        return Answer(plan, bool(converged))

    return Contender(
        f"OTT {name}",
        "peer",
        run,
        lambda answer: marginal_error(answer.plan, source, target),
        lambda answer: answer.success,
        lambda answer: judged(problem, answer.plan),
        note=f"at most {iterations} iterations",
        rounds=1 if options["lse_mode"] else 2,
    )


def dense(problem: EntropicTransport):
    source = problem.source / problem.source.sum()
    target = problem.target / problem.target.sum()
    cost = np.asarray(problem.cost.matrix())
    return source, target, cost, float(problem.epsilon)


def marginal_error(plan: np.ndarray, source: np.ndarray, target: np.ndarray) -> float:
    """L1 violation of both marginals."""
    rows, columns = plan.sum(axis=1) - source, plan.sum(axis=0) - target
    return float(np.abs(rows).sum() + np.abs(columns).sum())


def judged(problem: EntropicTransport, plan: np.ndarray) -> bool:
    """Whether the judge accepts a foreign plan, marginals only to `ERROR`."""
    if not np.all(np.isfinite(plan)):
        return False
    loose = EntropicTransport(
        problem.cost,
        problem.source,
        problem.target,
        epsilon=problem.epsilon,
        gap_tol=problem.gap_tol,
        marginal_tol=2 * ERROR,
    )
    return lm.certify(loose, loose.candidate(plan=plan)).certified


def ott_answer(arguments) -> Answer:
    source, target, cost, epsilon = arguments
    with jax.enable_x64(True):
        where = geometry.Geometry(cost_matrix=jnp.asarray(cost), epsilon=epsilon)
        problem = linear_problem.LinearProblem(
            where, jnp.asarray(source), jnp.asarray(target)
        )
        out = sinkhorn.Sinkhorn(threshold=1e-9, max_iterations=2_000)(problem)
        return Answer(np.asarray(out.matrix), bool(out.converged))


def pot_emd(problem: OptimalTransport) -> tuple[np.ndarray, bool]:
    source = problem.source / problem.source.sum()
    target = problem.target / problem.target.sum()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plan, log = ot.emd(source, target, np.asarray(problem.cost.matrix()), log=True)
    return plan, log["warning"] is None


def right(problem: EntropicTransport, plan: np.ndarray) -> bool:
    """Marginals to 1e-6 and an enclosure of 1e-5: far looser than the peers' stop."""
    if not np.all(np.isfinite(plan)):
        return False
    loose = EntropicTransport(
        problem.cost,
        problem.source,
        problem.target,
        epsilon=problem.epsilon,
        gap_tol=1e-5,
        marginal_tol=1e-6,
    )
    return lm.certify(loose, loose.candidate(plan=plan)).certified
