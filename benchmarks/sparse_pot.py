"""POT's sparsity-constrained transport, and what the judge says of anybody's plan."""

import contextlib
import io
import time
import warnings
from typing import Any, NamedTuple

import numpy as np
import ot

import lemmata as lm
from lemmata.core import Solution
from lemmata.transport import SparseTransport

NEAR = 1e-6  # L1 error of the marginals that a right answer may have
ENDLESS = 1_000_000  # iterations: POT's optimiser stops by itself long before


class Answer(NamedTuple):
    """A plan (m, n) and a potential (m,), and what the library says of them.

    **Fields:** `silent`: it gave no warning, deprecations aside; `flag`: the word of
    its optimiser, which POT hands out in a log only.
    """

    plan: np.ndarray
    alpha: np.ndarray
    silent: bool
    flag: bool
    iterations: int


def pot_sparse(
    problem: SparseTransport, iterations: int = 500, threshold: float = 1e-9
) -> Answer:
    """POT's semi-dual with its defaults; what version 0.9.7 prints is swallowed.

    Its cap is on columns, too, and column sums are exact; rows come out as they may.
    """
    source = problem.source / problem.source.sum()
    target = problem.target / problem.target.sum()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="warn"):
            plan, log = ot.smooth.smooth_ot_semi_dual(
                source,
                target,
                np.asarray(problem.cost.matrix()),
                reg=float(problem.gamma),
                reg_type="sparsity_constrained",
                max_nz=problem.cap,
                numItermax=iterations,
                stopThr=threshold,
                log=True,
            )
    found = log["res"]
    # POT passes an option that SciPy calls deprecated: nothing about the answer.
    silent = all(issubclass(w.category, DeprecationWarning) for w in caught)
    return Answer(plan, log["alpha"], silent, bool(found.success), int(found.nit))


def iterations_in(problem: SparseTransport, seconds: float) -> int:
    """POT's iterations that take `seconds`; all that it makes if these take less."""
    start = time.perf_counter()
    whole = pot_sparse(problem, ENDLESS, 0.0)
    taken = time.perf_counter() - start
    return ENDLESS if taken <= seconds else int(whole.iterations * seconds / taken)


def _loose(problem: SparseTransport) -> SparseTransport:
    """The problem with marginals asked for to `NEAR` only."""
    return SparseTransport(
        problem.cost,
        problem.source,
        problem.target,
        gamma=problem.gamma,
        cap=problem.cap,
        gap_tol=problem.gap_tol,
        marginal_tol=NEAR,
    )


def judged(problem: SparseTransport, plan: Any, alpha: np.ndarray) -> Solution:
    """What the judge says of a plan, wherever it comes from."""
    loose = _loose(problem)
    if not np.all(np.isfinite(alpha)):
        alpha = np.zeros_like(alpha)
    return lm.certify(loose, loose.candidate(plan=plan, alpha=alpha))


def judgement(problem: SparseTransport, answer: Solution | Answer) -> Solution:
    if isinstance(answer, Answer):
        return judged(problem, answer.plan, answer.alpha)
    return judged(problem, answer.value.sparse(), answer.value.alpha)


def row_error(problem: SparseTransport, answer: Solution | Answer) -> float:
    """L1 distance of the plan's row sums from the source weights."""
    plan = answer.plan if isinstance(answer, Answer) else answer.value.sparse()
    sums = np.asarray(plan.sum(axis=1)).ravel()
    return float(np.abs(sums - problem.source / problem.source.sum()).sum())
