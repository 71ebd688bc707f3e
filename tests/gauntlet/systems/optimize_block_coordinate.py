"""The gauntlet's knowledge of composite problems: the optimum in fractions."""

from fractions import Fraction
from functools import cache

import jax.numpy as jnp
import numpy as np

from lemmata.core import run
from lemmata.optimize import (
    GSQ,
    L1,
    BlockCoordinateDescent,
    Box,
    CompositeProblem,
    Exhaustive,
    GivenBlocks,
    GraphQuadratic,
    GreedyForest,
    LeastSquares,
    Logistic,
    NonNegativeL1,
    OrderedBlocks,
    Quadratic,
    Softmax,
    VariableBlocks,
    composite_minimiser,
)
from tests.gauntlet.systems import System

RNG = np.random.default_rng(0)
DESIGN = RNG.normal(size=(9, 5))
TARGET = DESIGN @ np.array([2.0, -1.0, 0.0, 0.0, 1.5]) + 0.1 * RNG.normal(size=9)
LABELS = np.where(TARGET > 0, 1.0, -1.0)
PAIRS = np.kron(np.eye(2), 1 - np.eye(2))  # two edges
CLOSE = 100  # the judge's bound may exceed the true gap


def fractions(array):
    return [Fraction(v) for v in np.asarray(array).reshape(-1).tolist()]


def dot(a, b):
    return sum((p * q for p, q in zip(a, b, strict=True)), Fraction(0))


def solved(rows, rhs):
    """Gaussian elimination in fractions; `rows` is positive definite."""
    rows = [[*row, b] for row, b in zip(rows, rhs, strict=True)]
    for k, pivot in enumerate(rows):
        for row in rows[k + 1 :]:
            factor = row[k] / pivot[k]
            row[:] = [a - factor * p for a, p in zip(row, pivot, strict=True)]
    found = [Fraction(0)] * len(rows)
    for k in reversed(range(len(rows))):
        row = rows[k]
        rest = dot(row[k + 1 : -1], found[k + 1 :])
        found[k] = (row[-1] - rest) / row[k]
    return found


class Lasso:
    """An L1 problem in fractions."""

    def __init__(self, problem):
        self.columns = [fractions(c) for c in problem.arrays["design"].T]
        self.y = fractions(problem.arrays["target"])
        self.strength = Fraction(problem.json["strength"])
        self.first = max(abs(dot(c, self.y)) for c in self.columns) - self.strength

    def slopes(self, x):
        """A^T (A x - y)."""
        r = [-b for b in self.y]
        for column, v in zip(self.columns, x, strict=True):
            r = [a + c * v for a, c in zip(r, column, strict=True)] if v else r
        return [dot(c, r) for c in self.columns], dot(r, r) / 2

    def objective(self, x):
        return self.slopes(x)[1] + self.strength * sum(abs(v) for v in x)

    def residual(self, x):
        """The largest distance of -gradient from the subdifferential."""
        worst = Fraction(0)
        for g, v in zip(self.slopes(x)[0], x, strict=True):
            if v:
                worst = max(
                    worst, abs(g + (self.strength if v > 0 else -self.strength))
                )
            else:
                worst = max(worst, abs(g) - self.strength)
        return worst

    @property
    def minimiser(self):
        """By the optimality conditions, on the support that the example's answer has;
        checked, so that it is the minimiser whatever that answer is."""
        from tests.gauntlet.conftest import solved_example

        found = solved_example("optimize-block-coordinate").solution.value.coefficients
        support, signs = np.flatnonzero(found), np.sign(found).astype(int)
        chosen = [self.columns[j] for j in support]
        gram = [[dot(a, b) for b in chosen] for a in chosen]
        rhs = [
            dot(a, self.y) - self.strength * int(signs[j])
            for a, j in zip(chosen, support, strict=True)
        ]
        x = [Fraction(0)] * found.size
        for j, v in zip(support, solved(gram, rhs), strict=True):
            x[j] = v
        assert self.residual(x) == 0
        return x


@cache
def optimum(key):
    lasso = _KEPT[key]
    x = lasso.minimiser
    return x, lasso.objective(x)


_KEPT: dict[bytes, Lasso] = {}


def known(problem):
    key = problem.arrays["design"].tobytes() + problem.arrays["target"].tobytes()
    lasso = _KEPT.setdefault(key, Lasso(problem))
    return lasso, *optimum(key)


def compare(true, claim, close=1):
    """None where the judge may be stricter than the truth."""
    promised = Fraction(claim["promised"])
    if true > promised:
        return False
    return True if true * close <= promised else None


def states_its_support(oracle):
    """Whatever the claim, the mask must say where x is not zero."""

    def asked(problem, value, claim):
        if not np.array_equal(value["support"], value["coefficients"] != 0):
            return False
        return oracle(problem, value, claim)

    return asked


@states_its_support
def value_enclosure(problem, value, claim):
    lasso, _, least = known(problem)
    gap = lasso.objective(fractions(value["coefficients"])) - least
    return compare(gap, claim, CLOSE)


@states_its_support
def support(problem, value, claim):
    """Exact zeros where the minimiser has them, all decided if the answer is near."""
    _, x, _ = known(problem)
    given = fractions(value["coefficients"])
    if any(v and not best for v, best in zip(given, x, strict=True)):
        return False
    away = max(abs(v - best) for v, best in zip(given, x, strict=True))
    if away < Fraction(1, 10**5):
        return True
    # Ten per cent off, the gap decides fewer; how many is the judge's affair.
    return None


@states_its_support
def stationarity(problem, value, claim):
    lasso, _, _ = known(problem)
    return compare(lasso.residual(fractions(value["coefficients"])), claim, 2)


def derivative():
    """A combination of the coefficients, in the target."""
    method = BlockCoordinateDescent(VariableBlocks(5), record=0)
    weights = np.array([1.0, -2.0, 0.5, 0.3, 1.0])

    def function(target):
        found = problem(target=target, gap_tol=1e-15)
        return jnp.sum(weights * composite_minimiser(found, method, max_steps=100))

    return function, TARGET


def batch():
    method = BlockCoordinateDescent(VariableBlocks(5), record=0)

    def function(target):
        found = problem(target=target, gap_tol=1e-13)
        return run(found, method, max_steps=100)[0].coefficients

    return function, np.stack([TARGET, TARGET[::-1]])


def problem(design=DESIGN, target=TARGET, strength=1.0, **options):
    return CompositeProblem(LeastSquares(design, target), L1(strength), **options)


def spoilt(array, value):
    array = array.copy()
    array.reshape(-1)[1] = value
    return array


def quadratic(operator, linear=None):
    linear = np.ones(len(operator)) if linear is None else linear
    return CompositeProblem(Quadratic(operator, linear))


def ring(n=4):
    """The Laplacian of a cycle, plus one."""
    step = np.eye(n) - np.roll(np.eye(n), 1, axis=1)
    return step @ step.T + np.eye(n)


def begun(found, method):
    import lemmata as lm

    return lm.solve(found, method, max_steps=1)


SYSTEM = System(
    bad_inputs=(
        ("NaN design", lambda: problem(spoilt(DESIGN, np.nan)), r"\.design: .*finite"),
        ("NaN target", lambda: problem(target=TARGET * np.nan), r"\.target: .*finite"),
        ("complex", lambda: problem(DESIGN + 1j), r"\.design: .*real"),
        ("short target", lambda: problem(target=TARGET[:3]), r"\.target: .*\(9,\)"),
        ("strength", lambda: problem(strength=-1.0), r"\.strength: .*>= 0"),
        ("strengths", lambda: problem(strength=np.ones(3)), r"\.strength: .*\(5,\)"),
        ("gap_tol", lambda: problem(gap_tol=0.0), r"\.gap_tol: .*\(0, 1\)"),
        (
            "labels 0 and 1",
            lambda: CompositeProblem(Logistic(DESIGN, (LABELS + 1) / 2)),
            r"\.labels: .*-1 or 1, got 0 in row",
        ),
        (
            "a class too many",
            lambda: CompositeProblem(Softmax(DESIGN, np.arange(9) % 4, 3)),
            r"\.labels: .*0 \.\. 2, got 3 in row 3",
        ),
        (
            "l2",
            lambda: CompositeProblem(Logistic(DESIGN, LABELS, -1.0)),
            r"\.l2: .*>= 0",
        ),
        (
            "bounds crossed",
            lambda: CompositeProblem(LeastSquares(DESIGN, TARGET), Box(1.0, 0.0)),
            r"\.lower: .*lower 1 > upper 0",
        ),
        (
            "no penalty",
            lambda: CompositeProblem(LeastSquares(DESIGN, TARGET), "l1"),
            r"\.penalty: .*L1\(strength\), got str",
        ),
        (
            "asymmetric",
            lambda: quadratic(spoilt(ring(), 3.0)),
            r"\.operator: .*H = H\^T",
        ),
        ("negative", lambda: quadratic(-ring()), r"\.operator: .*semi-definite"),
        (
            "negative weight",
            lambda: GraphQuadratic(-np.ones((3, 3)), [1.0, np.nan, np.nan]),
            r"weights: .*>= 0, got -1 between 0 and 0",
        ),
        (
            "directed graph",
            lambda: GraphQuadratic(np.triu(np.ones((3, 3))), [1.0, np.nan, np.nan]),
            r"weights: .*W = W\^T",
        ),
        (
            "a component without label",
            lambda: GraphQuadratic(
                np.kron(np.eye(2), 1 - np.eye(2)), [1, *3 * [np.nan]]
            ),
            r"labels: .*1 without any, 2 nodes, such as 2",
        ),
        (
            "no coefficients",
            lambda: problem().candidate(coefficients=[1.0]),
            r"coefficients: .*\(5,\)",
        ),
        ("block of 0", lambda: VariableBlocks(0), r"VariableBlocks\.size|size"),
        (
            "block too large",
            lambda: begun(problem(), BlockCoordinateDescent(VariableBlocks(6))),
            r"size|partition",
        ),
        (
            "blocks overlap",
            lambda: begun(
                problem(), BlockCoordinateDescent(GivenBlocks([[0, 1], [1, 2, 3, 4]]))
            ),
            r"1",
        ),
        (
            "GSQ over all variable blocks",
            lambda: begun(
                CompositeProblem(LeastSquares(np.eye(24), np.ones(24))),
                BlockCoordinateDescent(VariableBlocks(2), GSQ(Exhaustive())),
            ),
            r"20",
        ),
        (
            "not every combination",
            lambda: begun(
                CompositeProblem(LeastSquares(DESIGN, TARGET), NonNegativeL1(1.0)),
                BlockCoordinateDescent(GreedyForest()),
            ),
            r"update|partition|select",
        ),
        (
            "no step recorded",
            lambda: BlockCoordinateDescent(OrderedBlocks(2), record=-1),
            r"record",
        ),
    ),
    oracles={
        "optimize.value_enclosure/1": value_enclosure,
        "optimize.support/1": support,
        "optimize.stationarity/1": stationarity,
    },
    derivative=derivative,
    batch=batch,
    easier="target",
)
