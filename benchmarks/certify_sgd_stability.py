"""Stability of SGD: the toy of r^2 x r^2 matrices, and peers' traces of Hessians.

None of the peers (matfree, traceax, PyHessian, curvlinops) has a threshold for SGD: at
that, ours is compared with SciPy's dense and sparse eigenvalues. See `hessian_peers`
for how those in PyTorch take part.
"""

from typing import Any

import equinox as eqx
import numpy as np
import scipy.linalg
import scipy.sparse.linalg

import lemmata as lm
from benchmarks.harness import Contender, Report, Table, false_successes, race
from benchmarks.hessian_peers import PRODUCTS, jax_peers, torch_rows
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
    report.tables += _curvature()
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


def _curvature() -> list[Table]:
    """The Hessian's trace and largest eigenvalue, ours and everybody's."""
    network = _network()
    model, params, inputs, _ = network
    trace = float(model.trace(params, inputs))
    top = float(np.linalg.svd(model.rows(params, inputs))[1][0] ** 2 / len(inputs))

    def estimated() -> float:
        return trace_estimate(*hessian_product(*network), products=PRODUCTS)[0]

    def lanczos() -> float:
        return top_eigenvalue(*hessian_product(*network), rtol=1e-9)[0]

    own: list[tuple[dict[str, Any], float]] = [
        (
            {
                f"trace_estimate (Hutch++, {PRODUCTS} products)": estimated,
                "sharpness (exact, and all other figures)": lambda: (
                    sharpness(*network, products=30).trace
                ),
            },
            trace,
        ),
        ({"top_eigenvalue (Lanczos)": lanczos}, top),
    ]
    titles = (
        "Trace of the Hessian, two-layer ReLU, p = 10,200, n = 200",
        "Largest eigenvalue of the Hessian, the same network",
    )
    tables = []
    parts = zip(titles, own, jax_peers(network), strict=True)
    for title, (ours, right), theirs in parts:
        contenders = [
            Contender(
                who, kind, run, lambda answer, right=right: abs(answer / right - 1)
            )
            for kind, methods in (("ours", ours), ("peer", theirs))
            for who, run in methods.items()
        ]
        note = f"the peers' estimates: {PRODUCTS} products, 64-bit"
        tables.append(race(title, "relative error", contenders, note))
    taken = tables[0].rows[0].seconds, tables[1].rows[0].seconds
    for table, rows in zip(tables, torch_rows(network, trace, top, taken), strict=True):
        table.rows += rows
    return tables


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
