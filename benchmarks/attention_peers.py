"""How others solve and train attention: CVXPY, scikit-learn, a plain JAX loop."""

import time
import warnings
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lemmata.geometry import AttentionSVM, AttentionTraining


@dataclass(frozen=True)
class Answer:
    """Weights from anywhere, and what their maker said of them."""

    weights: np.ndarray
    success: bool | None = None


def _vectorised(problem: AttentionSVM) -> np.ndarray:
    """A_k as rows of d^2 numbers."""
    at = problem.constraints()
    i, t = np.nonzero(at.active)
    rows = at.differences[i, t][:, :, None] * at.queries[i][:, None, :]
    return rows.reshape(len(i), -1)


def cvxpy_answer(problem: AttentionSVM, solver: str) -> Answer:
    """The vectorised program as one would write it down."""
    import cvxpy

    rows, d = _vectorised(problem), problem.tokens.shape[2]
    if problem.norm == "frobenius":
        w = cvxpy.Variable(d * d)
        model = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum_squares(w)), [rows @ w >= 1])
    else:
        w = cvxpy.Variable((d, d))
        constraints = [rows @ cvxpy.vec(w, order="C") >= 1]
        model = cvxpy.Problem(cvxpy.Minimize(cvxpy.normNuc(w)), constraints)
    options: dict[str, Any] = {
        "CLARABEL": {},
        "OSQP": {"eps_abs": 1e-9, "eps_rel": 1e-9, "max_iter": 20_000},
        "SCS": {"eps": 1e-9, "max_iters": 20_000},
    }[solver]
    try:
        model.solve(solver=solver, **options)
    except cvxpy.error.SolverError:
        return Answer(np.zeros((d, d)), False)
    found = np.zeros(d * d) if w.value is None else w.value
    return Answer(np.reshape(found, (d, d)), model.status == "optimal")


def svc_answer(problem: AttentionSVM) -> Answer:
    """Hard margin on A_k with label 1 and -A_k with label -1: then there is no bias."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVC

    at = problem.constraints()
    places = np.nonzero(np.asarray(at.active).reshape(-1))[0]
    gram = np.asarray(at.gram())[np.ix_(places, places)]
    mirrored = np.block([[gram, -gram], [-gram, gram]])
    k = len(places)
    labels = np.repeat([1, -1], k)
    fitted = SVC(
        kernel="precomputed", C=1e10, tol=1e-9, cache_size=500, max_iter=100_000
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted.fit(mirrored, labels)
    dual = np.zeros(2 * k)
    dual[fitted.support_] = fitted.dual_coef_[0]
    full = np.zeros(at.count)
    full[places] = dual[:k] - dual[k:]
    weights = at.combine(full.reshape(at.active.shape))
    return Answer(weights, bool(fitted.fit_status_ == 0))


def plain_loop(problem: AttentionTraining, key: int, steps: int) -> Any:
    """What one writes without thinking: softmax, logistic loss, jax.grad, normalise."""
    with jax.enable_x64(True):
        x, z, y = map(jnp.asarray, (problem.tokens, problem.queries, problem.labels))
        v, d = jnp.asarray(problem.head.pack()["head_vector"]), x.shape[2]

        def objective(w):
            share = jax.nn.softmax(jnp.einsum("ntd,de,ne->nt", x, w, z), axis=1)
            return jnp.mean(
                jnp.log1p(jnp.exp(-y * jnp.einsum("nt,ntd,d->n", share, x, v)))
            )

        def step(_, w):
            g = jax.grad(objective)(w)
            size = jnp.linalg.norm(g)
            return w - 0.1 * g / jnp.where(size > 0, size, 1.0)

        start = jax.random.uniform(jax.random.key(key), (d, d), minval=-1, maxval=1)
        run = jax.jit(lambda w: jax.lax.fori_loop(0, steps, step, w))
        begun = time.perf_counter()
        found = jax.block_until_ready(run(start / d**0.5))
        return np.asarray(found), time.perf_counter() - begun
