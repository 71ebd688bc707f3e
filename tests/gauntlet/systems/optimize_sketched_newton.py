"""The gauntlet's knowledge of constrained minimisation: oracles in fractions.

The example is a quadratic program, so its one KKT point is found by elimination in
fractions, and every residual is exact.
"""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from lemmata.core import run
from lemmata.optimize import (
    ConstrainedLogistic,
    EqualityConstrained,
    PDEControl,
    SketchedNewton,
    hock_schittkowski,
    optimal_value,
)
from tests.gauntlet.systems import System

CLOSE = 0.2  # relative distance to a promise within which rounding may decide
START = np.array([1.0, 2.0, 3.0])

Vector = list[Fraction]


def compare(figure: Fraction, promised: float) -> bool | None:
    if abs(figure - Fraction(promised)) <= CLOSE * abs(promised):
        return None
    return figure <= promised


def exactly(array) -> Vector:
    return [Fraction(v) for v in np.asarray(array, float).reshape(-1).tolist()]


def system(problem) -> tuple[list[Vector], Vector, Fraction, int]:
    """[[Q, A'], [A, 0]] and (q, 0) of f = x'Qx/2 - q'x + constant, A x = 0; f(0)."""
    target, weight = problem.arrays["target"], Fraction(float(problem.arrays["weight"]))
    n = target.shape[0]
    size, inverse = n * n, Fraction((n + 1) ** 2, 4)
    matrix = [[Fraction(0)] * (3 * size) for _ in range(3 * size)]
    for k in range(size):
        matrix[k][k], matrix[size + k][size + k] = Fraction(1), weight
        row, column = divmod(k, n)
        entries = {k: -4 * inverse, size + k: Fraction(1)}
        for i, j in ((row - 1, column), (row + 1, column)):
            if 0 <= i < n:
                entries[i * n + j] = inverse
        for j in (column - 1, column + 1):
            if 0 <= j < n:
                entries[row * n + j] = inverse
        for place, entry in entries.items():
            matrix[2 * size + k][place] = matrix[place][2 * size + k] = entry
    wanted = exactly(target)
    right = wanted + [Fraction(0)] * (2 * size)
    return matrix, right, sum((w * w for w in wanted), Fraction(0)) / 2, 2 * size


def times(matrix: list[Vector], x: Vector) -> Vector:
    return [
        sum((a * b for a, b in zip(r, x, strict=True) if a), Fraction(0))
        for r in matrix
    ]


def solved(matrix: list[Vector], right: Vector) -> Vector:
    rows = [[*row, b] for row, b in zip(matrix, right, strict=True)]
    size = len(rows)
    for k in range(size):
        pivot = next(i for i in range(k, size) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(size):
            if i != k and rows[i][k]:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [
                    a - factor * b for a, b in zip(rows[i], rows[k], strict=True)
                ]
    return [row[size] / row[k] for k, row in enumerate(rows)]


def residuals(problem, value) -> tuple[Fraction, Fraction, Fraction]:
    """max|grad L|, max|grad f|, max|c| at the answer, exactly."""
    matrix, right, _, n = system(problem)
    z = exactly(value["point"]) + exactly(value["multipliers"])
    found = [a - b for a, b in zip(times(matrix, z), right, strict=True)]
    flat = z[:n] + [Fraction(0)] * (len(z) - n)
    slope = [a - b for a, b in zip(times(matrix, flat), right, strict=True)]
    largest = [max(map(abs, part)) for part in (found[:n], slope[:n], found[n:])]
    return largest[0], largest[1], largest[2]


def kkt(problem, value, claim):
    stationary, slope, infeasible = residuals(problem, value)
    worst = max(stationary / max(Fraction(1), slope), infeasible)
    return compare(worst, claim["promised"])


def objective(problem, x: Vector) -> Fraction:
    matrix, right, constant, n = system(problem)
    z = x + [Fraction(0)] * (len(right) - n)
    product = times(matrix, z)[:n]
    half = sum((a * b for a, b in zip(product, x, strict=True)), Fraction(0)) / 2
    return (
        half
        - sum((a * b for a, b in zip(right, x, strict=False)), Fraction(0))
        + constant
    )


def strict_minimum(problem, value, claim):
    """The least eigenvalue does not depend on the answer: LAPACK's, far from half."""
    matrix, _, _, n = system(problem)
    whole = np.array(matrix, dtype=float)
    basis = np.linalg.qr(whole[:n, n:], mode="complete")[0][:, whole.shape[0] - n :]
    least = float(np.linalg.eigvalsh(basis.T @ whole[:n, :n] @ basis)[0])
    return least >= claim["promised"]


def global_minimum(problem, value, claim):
    """f(x) against the exact minimum; what a residual costs is the judge's affair."""
    matrix, right, _, n = system(problem)
    best = objective(problem, solved(matrix, right)[:n])
    missed = abs(objective(problem, exactly(value["point"])) - best)
    if missed > claim["promised"]:
        return False
    stationary, _, infeasible = residuals(problem, value)
    room = Fraction(claim["promised"]) / 2
    slack = missed + 1000 * (stationary**2 + infeasible**2) + 100 * infeasible
    return True if slack < room else None


def kkt_exists(problem, value, claim):
    matrix, right, _, _ = system(problem)
    z = exactly(value["point"]) + exactly(value["multipliers"])
    best = solved(matrix, right)
    away = max(abs(a - b) for a, b in zip(z, best, strict=True))
    if away > claim["promised"]:
        return False
    return True if away < claim["promised"] / 4 else None  # the judge shows a multiple


def descent(problem, value, claim):
    """The recorded run ends in the answer: with another answer it proves nothing."""
    from tests.gauntlet.conftest import solved_example

    original = solved_example("optimize-sketched-newton").solution.value.pack()
    same = all(np.array_equal(value[name], original[name]) for name in original)
    return same


def projection(problem, value, claim):
    """About recorded systems and steps, not about the answer."""
    return True


def derivative():
    """The optimal value as a function of the wanted state."""
    method = SketchedNewton(atol=1e-10)

    def function(target):
        base = PDEControl(2)
        data = {**base.data, "target": target}
        problem = EqualityConstrained(
            base.objective, base.constraint, base.x0, base.multipliers0, data=data
        )
        return optimal_value(problem, method, max_steps=50)

    return function, np.asarray(PDEControl(2).data["target"])


def batch():
    def function(target):
        base = PDEControl(2)
        data = {**base.data, "target": target}
        problem = EqualityConstrained(
            base.objective, base.constraint, base.x0, base.multipliers0, data=data
        )
        value, _, _ = run(problem, SketchedNewton(atol=1e-10), max_steps=50)
        return value.x

    target = np.asarray(PDEControl(2).data["target"])
    return function, np.stack([target, target[::-1] ** 2])


def sphere(x):
    return jnp.sum(x**2)[None] - 1


def made(objective=lambda x: x[0], constraint=sphere, x0=START, **options):
    return EqualityConstrained(objective, constraint, x0, **options)


def called_back(x):
    return jax.pure_callback(lambda y: y, jax.ShapeDtypeStruct((), float), x[0])


SYSTEM = System(
    bad_inputs=(
        ("NaN start", lambda: made(x0=START * np.nan), r"\.x0: .*finite"),
        ("matrix start", lambda: made(x0=np.ones((2, 2))), r"\.x0: .*shape \(n,\)"),
        ("complex start", lambda: made(x0=START + 1j), r"\.x0: .*real"),
        (
            "f not finite",
            lambda: made(lambda x: jnp.log(-x[0])),
            r"objective: .*finite f",
        ),
        (
            "c not finite",
            lambda: made(constraint=lambda x: jnp.log(-x[:1])),
            r"finite c",
        ),
        (
            "m > n",
            lambda: made(constraint=lambda x: jnp.tile(x, 2)),
            r"1 to n = 3 .*got 6",
        ),
        ("scalar c", lambda: made(constraint=lambda x: x[0]), r"constraint: .*vector"),
        ("vector f", lambda: made(lambda x: x), r"objective: .*scalar"),
        ("complex f", lambda: made(lambda x: x[0] + 1j), r"objective: .*complex"),
        ("float32", lambda: made(lambda x: x[0].astype("float32")), r"float32"),
        (
            "dependent",
            lambda: made(constraint=lambda x: jnp.stack([x[0], x[0]])),
            r"sigma_min",
        ),
        ("callback", lambda: made(called_back), r"callback 'pure_callback'"),
        ("primitive", lambda: made(lambda x: jnp.sort(x)[0]), r"primitive 'sort'"),
        ("branch", lambda: made(lambda x: x[0] if x[0] > 0 else x[1]), r"Tracer"),
        (
            "multipliers",
            lambda: made(multipliers0=np.ones(2)),
            r"\.multipliers0: .*1 finite",
        ),
        ("tolerance", lambda: made(kkt_tol=0.0), r"\.kkt_tol: .*> 0"),
        ("name", lambda: hock_schittkowski("HS999"), r"hock_schittkowski\.name"),
        ("points", lambda: PDEControl(0), r"PDEControl\.n"),
        ("labels", lambda: ConstrainedLogistic(np.ones((3, 5)), [0, 1, 2]), r"1 or -1"),
        (
            "rows",
            lambda: ConstrainedLogistic(np.ones((3, 5)), [1, 1, -1], rows=4),
            r"rows",
        ),
        ("beta", lambda: SketchedNewton(beta=0.5), r"SketchedNewton\.beta"),
        ("nu", lambda: SketchedNewton(nu=1.0), r"SketchedNewton\.nu"),
        ("eta", lambda: SketchedNewton(eta2=0.0), r"SketchedNewton\.eta2"),
    ),
    oracles={
        "optimize.kkt/1": kkt,
        "optimize.strict_minimum/1": strict_minimum,
        "optimize.global_minimum/1": global_minimum,
        "optimize.kkt_exists/1": kkt_exists,
        "optimize.descent/1": descent,
        "optimize.projection/1": projection,
    },
    derivative=derivative,
    batch=batch,
    easier="target",
)
