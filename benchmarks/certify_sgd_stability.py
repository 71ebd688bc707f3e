"""Stability of SGD: the toy of r^2 x r^2 matrices, and peers' traces of Hessians.

None of the peers (PyHessian, curvlinops, hessian-eigenthings, matfree) has a threshold
for SGD; they need PyTorch or are not installed here, so their estimators are judged
through what they share: a Hutchinson trace and a power iteration, written plainly.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg

import lemmata as lm
from benchmarks.harness import Contender, Report, Table, false_successes, race
from lemmata.certify import (
    ExactMeanSquare,
    FrobeniusTest,
    GradientDescentTest,
    SGDStability,
    TraceTest,
    TwoLayerReLU,
    hessian_product,
    sharpness,
    top_eigenvalue,
    trace_estimate,
)

CASES = 60  # random problems for the false successes


def benchmark() -> Report:
    """All tables; about two minutes on two cores."""
    report = Report("certify-sgd-stability")
    report.tables.append(_against_the_toy())
    report.tables.append(_large())
    report.tables.append(_trace())
    report.tables.append(_eigenvalue())
    report.false_successes = _false_successes()
    return report


def _rows(n: int, r: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, r)) / r**0.5


def dense_threshold(rows: np.ndarray, batch: int) -> float:
    """2 / mu from the r^2 x r^2 pencil, by scipy's symmetric eigenvalues."""
    n, r = rows.shape
    c = (n - batch) / (batch * (n - 1))
    hessian, eye = rows.T @ rows / n, np.eye(r)
    mean = (np.kron(hessian, eye) + np.kron(eye, hessian)) / 2
    flat = (rows[:, :, None] * rows[:, None]).reshape(n, r * r)
    noise = (1 - c) * np.kron(hessian, hessian) + c / n * flat.T @ flat
    last = r * r - 1
    top = scipy.linalg.eigh(
        noise, mean, eigvals_only=True, subset_by_index=[last, last]
    )
    return 2 / float(top[0])


def operator_threshold(rows: np.ndarray, batch: int) -> float:
    """The same by ARPACK, with the maps as products and C inverted by a division."""
    n, r = rows.shape
    c = (n - batch) / (batch * (n - 1))
    values, vectors = np.linalg.eigh(rows.T @ rows / n)
    inside = rows @ vectors
    root = np.sqrt((values[:, None] + values) / 2)

    def product(flat: np.ndarray) -> np.ndarray:
        m = flat.reshape(r, r) / root
        single = np.sum((inside @ m) * inside, axis=1)
        image = (1 - c) * values[:, None] * m * values
        image += c / n * (inside.T * single) @ inside
        return ((image + image.T) / 2 / root).reshape(-1)

    size = r * r
    operator: Any = scipy.sparse.linalg.LinearOperator(
        (size, size), matvec=product, dtype=float
    )
    top = scipy.sparse.linalg.eigsh(operator, 1, which="LA", return_eigenvectors=False)
    return 2 / float(top[0])


def _ours(rows: np.ndarray, batch: int) -> lm.Solution:
    problem = SGDStability.of_gradients(rows, 0.1, batch)
    return lm.solve(problem, ExactMeanSquare(), throw=False)


def _rate(answer: Any) -> float:
    found = answer.value.max_learning_rate if hasattr(answer, "value") else answer
    return float(found)


def _against_the_toy() -> Table:
    rows, batch = _rows(40, 32), 4
    right = dense_threshold(rows, batch)
    contenders = [
        Contender(
            "ExactMeanSquare, certified",
            "ours",
            lambda: _ours(rows, batch),
            lambda answer: abs(_rate(answer) / right - 1),
            lambda answer: answer.result.name == "converged",
            lambda answer: answer.certificate["sgd_threshold"].holds,
        ),
        Contender(
            "r^2 x r^2 eigenvalues (scipy.linalg.eigh)",
            "peer",
            lambda: dense_threshold(rows, batch),
            lambda answer: abs(_rate(answer) / right - 1),
            rounds=2,
        ),
        Contender(
            "ARPACK on products",
            "peer",
            lambda: operator_threshold(rows, batch),
            lambda answer: abs(_rate(answer) / right - 1),
        ),
    ]
    title = "Largest stable learning rate, n = 40, r = 32, batch 4"
    return race(title, "relative error", contenders)


def _large() -> Table:
    """n = 500 samples of 10,000 parameters, r = 500; the toy would need 500 GB."""
    rows, batch = _rows(500, 10_000), 8
    right: list[float] = []

    def reduced() -> float:
        left, size, _ = np.linalg.svd(rows, full_matrices=False)
        right.append(operator_threshold(left * size, batch))
        return right[-1]

    reduced()
    contenders = [
        Contender(
            "ExactMeanSquare, certified",
            "ours",
            lambda: _ours(rows, batch),
            lambda answer: abs(_rate(answer) / right[0] - 1),
            lambda answer: answer.result.name == "converged",
            lambda answer: answer.certificate["sgd_threshold"].holds,
            rounds=2,
        ),
        Contender(
            "SVD and ARPACK on products, no proof",
            "peer",
            reduced,
            lambda answer: abs(_rate(answer) / right[0] - 1),
            rounds=2,
        ),
    ]
    title = "Largest stable learning rate, n = 500, p = 10,000, batch 8"
    return race(title, "relative to ARPACK", contenders)


def _network() -> tuple[Any, Any, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    model = TwoLayerReLU()
    params = {"inner": rng.normal(size=(200, 50)), "outer": rng.normal(size=200) / 200}
    inputs = rng.normal(size=(200, 50))
    return model, params, inputs, model.predictions(params, inputs)


def _plain_product(model: Any, params: Any, inputs: Any, targets: Any) -> Any:
    """A Hessian-vector product as one would write it: grad of the loss, then jvp."""
    flat, restore = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, params))

    def loss(w):
        found = jax.vmap(model, (None, 0))(restore(w), inputs)
        return jnp.sum((found - targets) ** 2) / (2 * len(inputs))

    return jax.jit(lambda v: jax.jvp(jax.grad(loss), (flat,), (v,))[1]), flat.size


def _trace() -> Table:
    arguments = _network()
    model, params, inputs, _ = arguments
    right = float(model.trace(params, inputs))

    def hutchinson() -> float:
        with jax.enable_x64(True):
            product, size = _plain_product(*arguments)
            rng = np.random.default_rng(0)
            signs = rng.integers(0, 2, (90, size)) * 2.0 - 1
            found = [float(v @ product(jnp.asarray(v))) for v in signs]
        return float(np.mean(found))

    def deflated() -> float:
        product, size = hessian_product(*arguments)
        return trace_estimate(product, size, products=90)[0]

    contenders = [
        Contender(
            "sharpness (exact, all figures)",
            "ours",
            lambda: sharpness(*arguments, products=30).trace,
            lambda answer: abs(answer / right - 1),
        ),
        Contender(
            "trace_estimate (Hutch++, 90 products)",
            "ours",
            deflated,
            lambda answer: abs(answer / right - 1),
        ),
        Contender(
            "plain Hutchinson, 90 products",
            "peer",
            hutchinson,
            lambda answer: abs(answer / right - 1),
            note="what PyHessian's trace() does, in JAX",
        ),
    ]
    title = "Trace of the Hessian, two-layer ReLU, p = 10,200, n = 200"
    return race(title, "relative error", contenders)


def _eigenvalue() -> Table:
    arguments = _network()
    model, params, inputs, _ = arguments
    rows = model.rows(params, inputs)
    right = float(np.linalg.svd(rows)[1][0] ** 2 / len(inputs))

    def lanczos() -> float:
        product, size = hessian_product(*arguments)
        return top_eigenvalue(product, size, rtol=1e-9)[0]

    def power() -> float:
        with jax.enable_x64(True):
            product, size = _plain_product(*arguments)
            v = jnp.asarray(np.random.default_rng(0).normal(size=size))
            value = 0.0
            for _ in range(100):
                v = v / jnp.linalg.norm(v)
                image = product(v)
                value, previous = float(v @ image), value
                if abs(value - previous) <= 1e-9 * value:
                    break
                v = image
        return value

    contenders = [
        Contender(
            "top_eigenvalue (Lanczos)",
            "ours",
            lanczos,
            lambda answer: abs(answer / right - 1),
        ),
        Contender(
            "power iteration, at most 100 products",
            "peer",
            power,
            lambda answer: abs(answer / right - 1),
            note="what PyHessian's eigenvalues() does, in JAX",
        ),
    ]
    title = "Largest eigenvalue of the Hessian, the same network"
    return race(title, "relative error", contenders)


def _false_successes() -> dict[str, Any]:
    """Learning rates a hundredth above the threshold: who calls them stable?"""
    methods = (ExactMeanSquare(), TraceTest(), FrobeniusTest(), GradientDescentTest())
    said: dict[str, list[bool | None]] = {type(m).__name__: [] for m in methods}
    said["certificate (sgd_stable)"] = []
    true: dict[str, list[bool]] = {who: [] for who in said}
    for seed in range(CASES):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(12, 8)) * rng.lognormal(size=8)
        batch = int(rng.integers(1, 6))
        factor = 0.97 if seed % 2 else 1.03
        problem = SGDStability.of_gradients(rows, 1.0, batch)
        rate = dense_threshold(rows, batch) * factor
        problem = eqx.tree_at(lambda p: p.learning_rate, problem, rate)
        for method in methods:
            solution = lm.solve(problem, method, throw=False)
            who = type(method).__name__
            said[who].append(rate <= float(solution.value.max_learning_rate))
            true[who].append(factor < 1)
            if isinstance(method, ExactMeanSquare):
                ids = {d.id for d in solution.certificate.decisions if d.holds}
                said["certificate (sgd_stable)"].append("certify.sgd_stable/1" in ids)
                true["certificate (sgd_stable)"].append(factor < 1)
    return false_successes(CASES, said, true)
