"""Programs: what is read, what is refused, and derivatives against exact fractions."""

import copy
import json
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from lemmata_checker.curvature import hessian
from lemmata_checker.curves import CURVES
from lemmata_checker.differentiate import evaluate
from lemmata_checker.errors import Malformed
from lemmata_checker.intervals import Ball, exact
from lemmata_checker.program import read_program

N = 3


def content(nodes, objective, constraint):
    return {"nodes": nodes, "objective": objective, "constraint": constraint}


# f = x0 x1 + 2 x2^3, c = (x0 + x1 - x2, x0^2)
NODES = [
    ["variable"],
    ["view", 0, 0, [], []],
    ["view", 0, 1, [], []],
    ["view", 0, 2, [], []],
    ["multiply", 1, 2],
    ["power", 3, 3],
    ["number", 2.0],
    ["multiply", 6, 5],
    ["add", 4, 7],
    ["add", 1, 2],
    ["subtract", 9, 3],
    ["power", 1, 2],
    ["take", [10, 11], [0, 1], [2]],
]
GOOD = content(NODES, 8, 12)


def test_a_program_by_hand():
    x, multipliers = np.array([2.0, -1.0, 0.5]), np.array([3.0, 5.0])
    found = evaluate(read_program(GOOD, {}, N), exact(x))
    np.testing.assert_allclose(found.objective.mid, -1.75, rtol=1e-15)
    np.testing.assert_allclose(found.gradient.mid, [-1.0, 2.0, 1.5], rtol=1e-15)
    np.testing.assert_allclose(found.constraint.mid, [0.5, 4.0], rtol=1e-15)
    np.testing.assert_allclose(found.jacobian.mid, [[1, 1, -1], [4, 0, 0]], rtol=1e-15)
    curvature = hessian(found, exact(multipliers)).mid
    np.testing.assert_allclose(
        curvature, [[10.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 6.0]], rtol=1e-15
    )


def changed(place, node):
    nodes = copy.deepcopy(NODES)
    nodes[place] = node
    return content(nodes, 8, 12)


BAD = {
    "not an object": ([], "an object"),
    "a field more": ({**GOOD, "note": 1}, "an object of"),
    "no nodes": (content([], 0, 0), "1 to 20000 operations"),
    "not a node": (changed(4, 7), r"nodes\[4\]: expected a list"),
    "unknown": (changed(4, ["launch", 1]), r"nodes\[4\]: expected a known operation"),
    "private": (changed(4, ["shape", 1]), "a known operation"),
    "forward": (changed(4, ["multiply", 1, 9]), "an earlier node"),
    "itself": (changed(4, ["multiply", 1, 4]), "an earlier node"),
    "negative": (changed(4, ["multiply", 1, -1]), "an earlier node"),
    "true": (changed(4, ["multiply", 1, True]), "an earlier node"),
    "arity": (changed(4, ["multiply", 1]), "2 positions"),
    "shapes": (changed(12, ["multiply", 0, 12]), "an earlier node"),
    "variable twice": (changed(6, ["variable"]), "come first"),
    "NaN": (changed(6, ["number", float("nan")]), "a finite number"),
    "text": (changed(6, ["number", "2"]), "a finite number"),
    "power": (changed(5, ["power", 3, 10**6]), "exponent up to"),
    "power of half": (changed(5, ["power", 3, 0.5]), "integer exponent"),
    "view outside": (changed(3, ["view", 0, 3, [], []]), "entries that the array has"),
    "view backwards": (changed(3, ["view", 0, 1, [-1], [3]]), "that the array has"),
    "view huge": (changed(3, ["view", 0, 0, [0, 0], [10**5, 10**5]]), "at most"),
    "view deep": (changed(3, ["view", 0, 0, [0] * 3, [10**6] * 3]), "at most"),
    "take outside": (changed(12, ["take", [10, 11], [0, 2], [2]]), "arrays have"),
    "take short": (changed(12, ["take", [10, 11], [0], [2]]), "as many places"),
    "take array": (changed(12, ["take", [10, 11], "index_0", [2]]), "array's name"),
    "array": (changed(6, ["array", "constant_0"]), "an array's name"),
    "sum": (changed(9, ["sum", 0, [1]]), "axes of the array"),
    "matmul": (changed(9, ["matmul", 0, 0]), "does not depend on x"),
    "objective": (content(NODES, 12, 12), "objective: expected shape"),
    "constraint": (content(NODES, 8, 8), "constraint: expected shape"),
    "position": (content(NODES, 8, 99), "the position of a node"),
    "truth": (changed(8, ["less", 4, 7]), "objective: expected shape"),
    "truth as number": (changed(7, ["less", 6, 5]), "numbers in node 7"),
    "number as truth": (changed(7, ["select", 6, 5, 5]), "truth values in node 6"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_program_is_refused(name):
    bad, reason = BAD[name]
    with pytest.raises(Malformed, match=reason):
        read_program(bad, {}, N)


def test_arrays_are_looked_at():
    nodes = changed(6, ["array", "a"])
    for array in (np.array(np.nan), np.float32(1), np.array(1), np.array([1.0, 2.0])):
        with pytest.raises(Malformed):
            evaluate(
                read_program(nodes, {"a": np.asarray(array)}, N), exact(np.ones(N))
            )


def test_size_is_bounded_before_anything_is_computed():
    wide = [["variable"], ["view", 0, 0, [0], [10**7]]]
    wide += [["exp", k] for k in range(1, 40)]
    wide += [["sum", 40, [0]], ["view", 0, 0, [1], [1]]]
    with pytest.raises(Malformed, match="too large"):
        read_program(content(wide, 41, 42), {}, N)
    jacobians = [["variable"], ["view", 0, 0, [0], [10**7]], ["sum", 1, [0]]]
    jacobians += [["view", 0, 0, [1], [1]]]
    program = read_program(content(jacobians, 2, 3), {}, 100)
    with pytest.raises(Malformed, match="too large"):
        evaluate(program, exact(np.ones(100)))


OPERATIONS = [
    *("variable", "number", "array", "add", "multiply", "select", "less", "and", "not"),
    *("power", "sum", "matmul", "view", "take", "exp", "log", "sqrt", "negative"),
]
ENTRY = st.one_of(
    st.integers(-2, 8),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(-1, 4), max_size=3),
    st.sampled_from(["a", "b", "index", None, True]),
)
NODE = st.tuples(st.sampled_from(OPERATIONS), st.lists(ENTRY, max_size=4))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NODE, max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_any_program_is_refused_or_evaluated(nodes, objective, constraint):
    arrays = {"a": np.ones(N), "b": np.ones((2, N)), "index": np.arange(N)}
    written = [["variable"], *([name, *rest] for name, rest in nodes)]
    written = json.loads(json.dumps(written))
    try:
        program = read_program(content(written, objective, constraint), arrays, N)
    except Malformed:
        return
    with np.errstate(all="ignore"):
        found = evaluate(program, exact(np.full(N, 0.5)))
        curvature = hessian(found, exact(np.ones(program.constraints)))
    assert curvature.shape == (N, N)
    assert found.jacobian.shape == (program.constraints, N)


class Polynomial:
    """Exact value, gradient and Hessian of a random polynomial, by fractions."""

    def __init__(self, rng, x):
        self.nodes, self.values = [["variable"]], []
        for k in range(N):
            self.nodes.append(["view", 0, k, [], []])
            unit = [F(int(j == k)) for j in range(N)]
            zero = [[F(0)] * N for _ in range(N)]
            self.values.append((F(x[k]), unit, zero))
        for _ in range(8):
            self.grow(rng)

    def grow(self, rng):
        count = len(self.values)
        i, j = (int(k) for k in rng.integers(0, count, size=2))
        (a, ga, ha), (b, gb, hb) = self.values[i], self.values[j]
        name = rng.choice(["add", "subtract", "multiply"])
        self.nodes.append([str(name), i + 1, j + 1])
        if name == "multiply":
            gradient = [a * q + b * p for p, q in zip(ga, gb, strict=True)]
            second = [
                [
                    a * hb[r][s] + b * ha[r][s] + ga[r] * gb[s] + ga[s] * gb[r]
                    for s in range(N)
                ]
                for r in range(N)
            ]
            self.values.append((a * b, gradient, second))
            return
        sign = 1 if name == "add" else -1
        gradient = [p + sign * q for p, q in zip(ga, gb, strict=True)]
        second = [[ha[r][s] + sign * hb[r][s] for s in range(N)] for r in range(N)]
        self.values.append((a + sign * b, gradient, second))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_derivatives_hold_exactly(seed):
    """Value, gradient and Hessian of the Lagrangian, in the balls, exactly."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=N)
    radius = np.abs(rng.normal(size=N)) * rng.choice([0.0, 1e-9, 1e-3])
    x = centre + radius * rng.uniform(-1, 1, size=N) * 0.99
    made = Polynomial(rng, x.tolist())
    last = len(made.nodes) - 1
    nodes = [*made.nodes, ["view", last - 1, 0, [0], [1]]]
    program = read_program(content(nodes, last, last + 1), {}, N)
    found = evaluate(program, Ball(centre, radius))
    multiplier = float(rng.normal())
    curvature = hessian(found, exact(np.array([multiplier])))
    (f, gf, hf), (c, gc, hc) = made.values[-1], made.values[-2]
    assert within(found.objective, [f])
    assert within(found.gradient, gf)
    assert within(found.constraint, [c])
    assert within(found.jacobian, gc)
    factor = F(multiplier)
    assert within(
        curvature, [hf[r][s] + factor * hc[r][s] for r in range(N) for s in range(N)]
    )


def within(ball, values):
    pairs = zip(ball.mid.reshape(-1), ball.radius.reshape(-1), values, strict=True)
    return all(abs(F(float(m)) - v) <= F(float(r)) for m, r, v in pairs)


def test_degrees():
    program = read_program(GOOD, {}, N)
    assert program.nodes[4].degree == 2
    assert program.nodes[program.objective].degree == 3
    assert program.nodes[10].degree == 1
    assert program.nodes[program.constraint].degree == 2
    curved = read_program(changed(5, ["exp", 3]), {}, N)
    assert curved.nodes[curved.objective].degree == 3
    for name in CURVES:
        fixed = read_program(changed(5, [name, 3]), {}, N)
        assert fixed.nodes[5].degree == 3


KINK = [
    ["variable"],
    ["view", 0, 0, [], []],
    ["number", 0.0],
    ["less", 2, 1],
    ["power", 1, 2],
    ["negative", 4],
    ["select", 3, 4, 5],
    ["view", 0, 0, [1], [1]],
]


def test_a_branch_counts_only_where_it_is_open():
    """f = x|x|: at 0 the branch is not decided on a neighbourhood."""
    program = read_program(content(KINK, 6, 7), {}, 1)
    for place, slope in ((2.0, 4.0), (-3.0, 6.0)):
        found = evaluate(program, exact(np.array([place])))
        np.testing.assert_allclose(found.gradient.mid, [slope], rtol=1e-15)
    with np.errstate(all="ignore"):
        assert np.isnan(evaluate(program, exact(np.zeros(1))).gradient.mid).all()


def test_nan_in_a_branch_not_taken_is_harmless():
    nodes = [*KINK[:5], ["log", 1], ["select", 3, 5, 4], KINK[7]]
    program = read_program(content(nodes, 6, 7), {}, 1)
    with np.errstate(all="ignore"):
        found = evaluate(program, exact(np.array([-2.0])))
        curvature = hessian(found, exact(np.ones(1)))
    np.testing.assert_allclose(found.gradient.mid, [-4.0], rtol=1e-15)
    np.testing.assert_allclose(curvature.mid, [[2.0]], rtol=1e-15)
