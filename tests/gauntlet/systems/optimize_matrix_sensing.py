"""The gauntlet's knowledge of matrix sensing: oracles in fractions."""

from fractions import Fraction
from functools import cache
from statistics import NormalDist

import jax.numpy as jnp
import numpy as np

from lemmata.core import run, solve
from lemmata.optimize import (
    AcceleratedAsymmetricGradientDescent,
    AlternatingLeastSquares,
    DenseOperator,
    FourierOperator,
    GaussianOperator,
    IdentityOperator,
    MaskOperator,
    MatrixSensing,
    NuclearNormFISTA,
    Planted,
    ScaledGradientDescent,
    SmallRandomStart,
    SymmetricGradientDescent,
    recovered_matrix,
    symmetric_lower_bound,
)
from tests.gauntlet.systems import System

CLOSE = 0.05  # relative distance to a promise within which rounding may decide
SHAPE, COUNT = (6, 5), 60
OPERATOR = GaussianOperator(SHAPE, COUNT, key=5)
MATRICES = np.asarray(OPERATOR.stored).reshape(COUNT, *SHAPE)
EYE = np.eye(4)


@cache
def quantile(digit: int) -> Fraction:
    """The normal quantile on the grid of 2^-26, by definition."""
    exact = NormalDist().inv_cdf((max(digit, 65535 - digit) + 0.5) / 65536)
    size = Fraction(round(exact * 2**26), 2**26)
    return size if digit >= 32768 else -size


def rows(problem) -> list[list[Fraction]]:
    """The operator, one word after the other."""
    entries = problem.json["rows"] * problem.json["columns"]
    each = -(-entries // 16)
    words = np.random.Philox(key=problem.json["key"])
    words = words.random_raw(4 * each * problem.json["count"]).tolist()
    digits = [(w >> shift) & 0xFFFF for w in words for shift in (0, 16, 32, 48)]
    table = [quantile(d) for d in digits]
    step = 16 * each
    return [table[i : i + entries] for i in range(0, len(table), step)]


@cache
def operator_rows(fields: tuple) -> list[list[Fraction]]:
    from types import SimpleNamespace

    return rows(SimpleNamespace(json=dict(fields)))


def residuals(problem, value) -> list[Fraction]:
    """A(L R') - y, exactly."""
    left, right = ([list(map(Fraction, r)) for r in value[k]] for k in FACTORS)
    entries = [
        sum(a * b for a, b in zip(p, q, strict=True)) for p in left for q in right
    ]
    names = ("rows", "columns", "key", "count")
    fields = tuple((name, problem.json[name]) for name in names)
    images = [
        sum(a * b for a, b in zip(row, entries, strict=True))
        for row in operator_rows(fields)
    ]
    y = map(Fraction, problem.arrays["measurements"].tolist())
    return [a - b for a, b in zip(images, y, strict=True)]


FACTORS = ("left", "right")


def norm(values) -> float:
    return float(sum(v * v for v in values)) ** 0.5


def compare(figure: float, promised: float) -> bool | None:
    if abs(figure - promised) <= CLOSE * abs(promised):
        return None
    return figure <= promised


def measurement_residual(problem, value, claim):
    used = problem.json["count"] - problem.json["held_out"]
    y = [Fraction(v) for v in problem.arrays["measurements"][:used].tolist()]
    figure = norm(residuals(problem, value)[:used]) / norm(y)
    return compare(figure, claim["promised"])


def recovery(problem, value, claim):
    used = problem.json["count"] - problem.json["held_out"]
    names = ("rows", "columns", "key", "count")
    fields = tuple((name, problem.json[name]) for name in names)
    matrix = np.array([[float(a) for a in row] for row in operator_rows(fields)[:used]])
    sigma = np.linalg.svd(matrix, compute_uv=False)[-1]
    return compare(norm(residuals(problem, value)[:used]) / sigma, claim["promised"])


def held_out_error(problem, value, claim):
    used = problem.json["count"] - problem.json["held_out"]
    fresh = residuals(problem, value)[used:]
    tau = (6 * np.log(1 / claim["parameters"]["delta"]) / len(fresh)) ** 0.5
    variance = float(sum(quantile(d) ** 2 for d in range(0, 65536, 7))) / 9363
    figure = norm(fresh) / (variance * len(fresh) * (1 - tau)) ** 0.5
    return compare(figure, claim["promised"])


def imbalance(problem, value, claim):
    """About recorded steps alone: another answer of the same shape changes nothing."""
    del problem, claim
    return all(np.all(np.isfinite(value[name])) for name in FACTORS) or None


def derivative():
    """A linear function of the recovered matrix, measurements perturbed."""
    weights = np.random.default_rng(2).normal(size=SHAPE)
    truth = np.outer(np.arange(1.0, 7.0), np.array([1.0, -1.0, 2.0, 0.5, 1.5]))
    y = np.asarray(OPERATOR.stored) @ truth.reshape(-1)

    def function(measurements):
        return jnp.sum(weights * recovered_matrix(measurements, OPERATOR, rank=1))

    return function, y


def batch():
    rng = np.random.default_rng(4)
    truths = [np.outer(rng.normal(size=6), rng.normal(size=5)) for _ in range(2)]
    y = np.stack([np.asarray(OPERATOR.stored) @ t.reshape(-1) for t in truths])

    def function(measurements):
        found = MatrixSensing(OPERATOR, measurements, rtol=1e-12)
        method = AcceleratedAsymmetricGradientDescent(2)
        value, _, _ = run(found, method, max_steps=100)
        return value.left @ value.right.T

    return function, y


def sensing(operator=OPERATOR, y=None, **options):
    y = np.ones(operator.count) if y is None else y
    return MatrixSensing(operator, y, **options)


def planted(**options):
    truth = np.diag([2.0, 1.0, 0.0, 0.0])
    return Planted.of(IdentityOperator((4, 4)), truth, **options)


def attempt(method, **options):
    return lambda: solve(sensing(**options), method, throw=False)


SYSTEM = System(
    bad_inputs=(
        ("width 0", lambda: SymmetricGradientDescent(0), r"\.width: .*>= 1"),
        (
            "width too large",
            attempt(AcceleratedAsymmetricGradientDescent(6)),
            r"\.width: .*at most 5",
        ),
        ("ALS width", attempt(AlternatingLeastSquares(6)), r"\.width: .*at most 5"),
        ("psd, not square", lambda: sensing(psd=True), r"\.psd: .*square"),
        (
            "psd, not symmetric",
            lambda: sensing(IdentityOperator((2, 2)), [0.0, 1.0, 2.0, 0.0], psd=True),
            r"\.psd: .*symmetric",
        ),
        (
            "symmetric form, no psd",
            attempt(SymmetricGradientDescent(2)),
            r"SymmetricGradientDescent: .*psd=True",
        ),
        ("no measurement", lambda: GaussianOperator((3, 3), 0).validate(), r"\.count"),
        (
            "empty operator",
            lambda: sensing(DenseOperator(np.ones((0, 2, 2)))),
            r"\.matrices",
        ),
        ("count", lambda: sensing(y=np.ones(7)), r"\.measurements: .*shape \(60,\)"),
        ("NaN", lambda: sensing(y=np.full(60, np.nan)), r"\.measurements: .*finite"),
        ("zeros", lambda: sensing(y=np.zeros(60)), r"\.measurements: .*not zero"),
        (
            "step 0",
            lambda: SymmetricGradientDescent(2, step_size=0.0),
            r"\.step_size: .*\(0, 1\]",
        ),
        (
            "step above the cap",
            lambda: AcceleratedAsymmetricGradientDescent(2, step_size=1.5),
            r"\.step_size: .*the cap is 1",
        ),
        ("saddle", lambda: SmallRandomStart(scale=0.0), r"\.scale: .*saddle"),
        ("imbalance", lambda: SmallRandomStart(imbalance=-1.0), r"\.imbalance: .*>= 0"),
        (
            "switch",
            lambda: AcceleratedAsymmetricGradientDescent(2, switch_residual=1.0),
            r"\.switch_residual: .*\(0, 1\)",
        ),
        ("damping", lambda: ScaledGradientDescent(2, damping=0.0), r"\.damping"),
        ("decay", lambda: NuclearNormFISTA(decay=1.0), r"\.decay"),
        ("rtol", lambda: sensing(rtol=0.0), r"\.rtol: .*> 0"),
        (
            "held out elsewhere",
            lambda: sensing(DenseOperator(MATRICES), held_out=5),
            r"\.held_out: .*GaussianOperator",
        ),
        (
            "index outside",
            lambda: sensing(MaskOperator((2, 2), [0, 2], [0, 0]), [1.0, 1.0]),
            r"\.row_index: .*\[0, 2\)",
        ),
        (
            "pair twice",
            lambda: sensing(FourierOperator((2, 2), [0, 0], [1, 1]), np.ones(4)),
            r"\.row_index: .*once",
        ),
        (
            "another truth",
            lambda: Planted(sensing(), np.ones(SHAPE)),
            r"Planted\.truth: .*measured",
        ),
        (
            "lower bound for a sensing operator",
            lambda: symmetric_lower_bound(
                sensing(), np.ones((6, 2)), step_size=0.1, steps=5
            ),
            r"symmetric_lower_bound: .*Planted",
        ),
        (
            "lower bound without excess width",
            lambda: symmetric_lower_bound(
                planted(psd=True), 0.1 * EYE[:, :2], step_size=0.1, steps=5
            ),
            r"width above the rank 2",
        ),
    ),
    oracles={
        "optimize.measurement_residual/1": measurement_residual,
        "optimize.recovery/1": recovery,
        "optimize.held_out_error/1": held_out_error,
        "optimize.imbalance/1": imbalance,
    },
    derivative=derivative,
    batch=batch,
    easier="measurements",
)
