"""The gauntlet's knowledge of SGD's stability: Kronecker products and fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import scipy.linalg

from lemmata.certify import (
    DiagonalLinear,
    ExactMeanSquare,
    FrobeniusTest,
    SGDStability,
    SGDTraining,
    SimulateLinearised,
    StabilitySweep,
    TwoLayerReLU,
    mean_square_threshold,
    reach_minimum,
    trace_estimate,
)
from lemmata.core import run
from tests.gauntlet.systems import System

CLOSE = 0.05  # relative distance to a promise within which rounding may decide
RNG = np.random.default_rng(11)
INPUTS, TARGETS = RNG.normal(size=(4, 3)), np.ones(4)
HALF: Any = 1.5
PARAMS = {"first": np.ones(3), "second": np.ones(3)}


def gradients(problem) -> list[list[Fraction]]:
    """Of f = sum first_j second_j x_j for both factors, exactly."""
    first, second = (
        list(map(Fraction, problem.arrays[k].tolist())) for k in ("first", "second")
    )
    rows = problem.arrays["inputs"].tolist()
    return [
        [Fraction(v) * s for v, s in zip(x, second, strict=True)]
        + [Fraction(v) * f for v, f in zip(x, first, strict=True)]
        for x in rows
    ]


def gram(problem) -> np.ndarray:
    """Inner products, rounded once."""
    rows = gradients(problem)
    return np.array(
        [[float(sum(a * b for a, b in zip(p, q, strict=True))) for q in rows]
         for p in rows]
    )  # fmt: skip


def agrees(problem, value) -> bool | None:
    """Whether the answer's coordinates have the gradients' inner products."""
    flat = value["coordinates"].reshape(len(value["coordinates"]), -1)
    k = gram(problem)
    away = np.linalg.norm(flat @ flat.T - k) / np.max(np.abs(k))
    if away > 2e-8:
        return False
    return True if away < 2e-9 else None


def maps(problem, value):
    """C and D as r^2 x r^2 matrices, the toy that the library must not use."""
    flat = value["coordinates"].reshape(len(value["coordinates"]), -1)
    n, r = flat.shape
    size = problem.json["batch_size"]
    c = (n - size) / (size * (n - 1))
    hessian, eye = flat.T @ flat / n, np.eye(r)
    big = (1 - c) * np.kron(hessian, hessian)
    for g in flat:
        big += c / n * np.kron(np.outer(g, g), np.outer(g, g))
    return (np.kron(hessian, eye) + np.kron(eye, hessian)) / 2, big


def rates(problem, value) -> tuple[float, float]:
    """What S proves stable, and what M proves unstable."""
    mean, noise = maps(problem, value)
    s, m = value["lyapunov"], value["growth"]
    r = len(s)
    x, y = ((a @ s.reshape(-1)).reshape(r, r) for a in (mean, noise))
    if np.linalg.eigvalsh(s)[0] <= 0 or np.linalg.eigvalsh((x + x.T) / 2)[0] <= 0:
        return 0.0, np.inf
    top = scipy.linalg.eigh((y + y.T) / 2, (x + x.T) / 2, eigvals_only=True)[-1]
    v = m.reshape(-1)
    return 2 / top, 2 * float(v @ mean @ v) / float(v @ noise @ v)


def sound(problem, value) -> bool | None:
    if any(np.any(value[k] != value[k].T) for k in ("lyapunov", "growth")):
        return False
    return agrees(problem, value)


def compare(figure: float, promised: float) -> bool | None:
    if abs(figure - promised) <= CLOSE * abs(promised):
        return None
    return bool(figure <= promised)


def lower(problem, value, figure, promised):
    """A claim that rests on S, and on M only where it must be symmetric."""
    if np.any(value["lyapunov"] != value["lyapunov"].T):
        return False
    fits = agrees(problem, value)
    if fits is not True:
        return fits
    return compare(figure(rates(problem, value)[0]), promised)


def threshold(problem, value, claim):
    fits = sound(problem, value)
    if fits is not True:
        return fits
    stated = float(value["max_learning_rate"])
    low, high = rates(problem, value)
    low, high = min(low, stated), max(high, stated)
    return compare((high - low) / high, claim["promised"])


def stable(problem, value, claim):
    if np.any(value["growth"] != value["growth"].T):
        return False  # shown beside it, so it must be judged
    eta = problem.json["learning_rate"]
    return lower(
        problem, value, lambda rate: eta / max(rate, 1e-300), claim["promised"]
    )


def stays(problem, value) -> bool | None:
    eta = problem.json["learning_rate"]
    return lower(problem, value, lambda rate: eta / max(rate, 1e-300), 1.0)


def trace(problem, value, claim):
    if (holds := stays(problem, value)) is not True:
        return holds
    rows = gradients(problem)
    figure = float(sum(a * a for row in rows for a in row)) / len(rows)
    return compare(figure, claim["promised"])


def path_norm(problem, value, claim):
    if (holds := stays(problem, value)) is not True:
        return holds
    first, second = problem.arrays["first"], problem.arrays["second"]
    w = np.abs(first * second)
    s = np.mean(problem.arrays["inputs"] ** 2, axis=0)
    bound = 2 * problem.json["batch_size"] / problem.json["learning_rate"]
    for name, right in (
        ("path_norm", np.sum(w)),
        ("implied_norm_bound", bound * np.sum(w) / (2 * np.sum(s * w))),
    ):
        away = abs(float(value[name]) - right) / right
        if away > 1e-9:
            return False if away > 1e-7 else None
    return compare(2 * float(np.sum(s * w)) / bound, claim["promised"])


def sharpness(problem, value, claim):
    k = gram(problem)
    n = len(k)
    right = {
        "trace": np.trace(k) / n,
        "frobenius": np.linalg.norm(k) / n,
        "lambda_max": np.linalg.eigvalsh(k)[-1] / n,
    }
    worst = max(abs(float(value[name]) / v - 1) for name, v in right.items())
    return bool(worst <= claim["promised"])


def derivative():
    rows = np.random.default_rng(2).normal(size=(4, 6))
    return lambda g: mean_square_threshold(g, 2), rows


def batch():
    rows = np.random.default_rng(4).normal(size=(2, 4, 6))

    def function(g):
        problem = SGDStability.of_gradients(g, 0.1, 2)
        value, _, _ = run(problem, ExactMeanSquare(), max_steps=200)
        return value.max_learning_rate

    return function, rows


def made(inputs=INPUTS, targets=TARGETS, params=PARAMS, eta=0.1, **options):
    model, size = options.pop("model", DiagonalLinear()), options.pop("size", 1)
    return SGDStability(model, params, inputs, targets, eta, size, **options)


def kink():
    params = {"inner": np.array([[1.0, -1.0]]), "outer": np.ones(1)}
    return SGDStability(TwoLayerReLU(), params, np.ones((2, 2)), np.ones(2), 0.1)


def vector_output():
    model = lambda params, x: params["a"] * x  # noqa: E731
    return SGDStability(model, {"a": np.ones(3)}, INPUTS, INPUTS, 0.1)


def rows(array, **options):
    return SGDStability.of_gradients(array, 0.1, **options)


SYSTEM = System(
    bad_inputs=(
        ("batch above n", lambda: made(size=5), r"\.batch_size: .*at most the 4"),
        ("batch 0", lambda: made(size=0), r"\.batch_size: .*>= 1"),
        ("batch 1.5", lambda: made(size=HALF), r"\.batch_size: .*integer"),
        ("rate 0", lambda: made(eta=0.0), r"\.learning_rate: .*> 0"),
        ("rate NaN", lambda: made(eta=np.nan), r"\.learning_rate: .*finite"),
        ("vector", vector_output, r"\.outputs: .*outputs=K"),
        ("cross-entropy", lambda: made(loss="cross_entropy"), r"\.loss: .*no finite"),
        ("momentum", lambda: made(optimizer="adam"), r"\.optimizer: .*momentum"),
        ("NaN", lambda: made(targets=TARGETS * np.nan), r"\.targets: .*finite"),
        (
            "no gradient",
            lambda: made(params={k: np.zeros(3) for k in PARAMS}),
            r"\.gradients: .*not zero",
        ),
        (
            "text",
            lambda: made(params=PARAMS | {"first": np.array(["a"] * 3)}),
            r"\.params: .*real numbers",
        ),
        ("another n", lambda: made(targets=np.ones(3)), r"\.targets: .*4 of them"),
        ("shape", lambda: made(params={"first": np.ones(3)}), r"\.params: .*second"),
        ("kink", kink, r"\.params: .*kink"),
        ("no model", lambda: made(model=3), r"\.model: .*function"),
        ("flag", lambda: made(replacement="yes"), r"\.replacement: .*True or False"),
        ("gap", lambda: made(gap_tol=2.0), r"\.gap_tol: .*below 1"),
        ("empty rows", lambda: rows(np.ones((0, 2))), r"\.gradients: .*\(n, p\)"),
        (
            "residuals",
            lambda: rows(np.ones((2, 2)), residuals=np.ones(3)),
            r"\.residuals: .*one number for each gradient",
        ),
        ("rtol", lambda: ExactMeanSquare(rtol=0.0), r"\.rtol: .*\(0, 1\)"),
        ("patience", lambda: ExactMeanSquare(patience=0), r"\.patience: .*>= 1"),
        ("runs", lambda: SimulateLinearised(runs=0), r"\.runs: .*>= 1"),
        ("steps", lambda: FrobeniusTest(steps=0), r"\.steps: .*>= 1"),
        ("noise", lambda: SGDTraining(label_noise=-1.0), r"\.label_noise: .*>= 0"),
        (
            "sweep without rates",
            lambda: StabilitySweep(DiagonalLinear(), INPUTS, TARGETS, [], [1]),
            r"StabilitySweep\.learning_rates",
        ),
        (
            "sweep batch",
            lambda: StabilitySweep(DiagonalLinear(), INPUTS, TARGETS, [0.1], [9]),
            r"StabilitySweep\.batch_sizes: .*\[1, 4\]",
        ),
        (
            "training batch",
            lambda: reach_minimum(DiagonalLinear(), PARAMS, INPUTS, TARGETS, 0.1, 9),
            r"reach_minimum\.batch_size",
        ),
        (
            "probes",
            lambda: trace_estimate(lambda v: v, 3, products=2),
            r"trace_estimate\.products",
        ),
    ),
    oracles={
        "certify.sgd_threshold/1": threshold,
        "certify.sgd_stable/1": stable,
        "certify.sgd_trace/1": trace,
        "certify.sgd_path_norm/1": path_norm,
        "certify.sgd_sharpness/1": sharpness,
    },
    derivative=derivative,
    batch=batch,
    easier="targets",
)
