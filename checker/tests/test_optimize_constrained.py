"""Rules of constrained problems: against exact fractions, LAPACK, and known minima."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.intervals import Ball, exact
from lemmata_checker.packed import Packed
from lemmata_checker.rules._constrained import reduced_curvature

KIND = "optimize.equality_constrained/1"
SEEDS = st.integers(0, 2**32 - 1)

# f = x' Q x / 2 + q' x, c = A x - b, all of them arrays
QUADRATIC = [
    ["variable"],
    ["array", "quadratic"],
    ["view", 0, 0, [1, 0], None],
    ["matmul", 1, 2],
    ["view", 3, 0, [1], None],
    ["multiply", 0, 4],
    ["number", 0.5],
    ["multiply", 6, 5],
    ["array", "linear"],
    ["multiply", 0, 8],
    ["add", 7, 9],
    ["sum", 10, [0]],
    ["array", "matrix"],
    ["matmul", 12, 2],
    ["view", 13, 0, [1], None],
    ["array", "rhs"],
    ["subtract", 14, 15],
]


def quadratic(quadratic, linear, matrix, rhs):
    n, m = len(linear), len(rhs)
    shapes = {2: [n, 1], 4: [n], 14: [m]}
    nodes = [
        [*node[:-1], shapes[k]] if k in shapes else node
        for k, node in enumerate(QUADRATIC)
    ]
    program = {"nodes": nodes, "objective": 11, "constraint": 16}
    arrays = {"quadratic": quadratic, "linear": linear, "matrix": matrix, "rhs": rhs}
    arrays |= {"x0": np.ones(n), "multipliers0": np.zeros(m)}
    return Packed(KIND, {"program": program, "kkt_tol": 1e-6, "gap_tol": 1e-8}, arrays)


def random_problem(rng, n=5, m=2, saddle=False):
    root = rng.normal(size=(n, n))
    q = root @ root.T + (np.zeros((n, n)) if not saddle else -8 * np.eye(n))
    q = (q + q.T) / 2
    arrays = q, rng.normal(size=n), rng.normal(size=(m, n)), rng.normal(size=m)
    return quadratic(*arrays)


def solved(problem):
    a = problem.arrays
    m = len(a["rhs"])
    matrix = np.block(
        [[a["quadratic"], a["matrix"].T], [a["matrix"], np.zeros((m, m))]]
    )
    z = np.linalg.solve(matrix, np.concatenate([-a["linear"], a["rhs"]]))
    n = len(a["linear"])
    return {"point": z[:n].copy(), "multipliers": z[n:].copy()}


def judge(name, promised, problem, value):
    return decide(f"optimize.{name}/1", promised, Case(problem, value))


def fractions(array):
    return np.vectorize(lambda v: F(float(v)), otypes=[object])(np.asarray(array))


def exact_solution(problem):
    """Point and minimum in fractions, by elimination."""
    a = {name: fractions(array) for name, array in problem.arrays.items()}
    n, m = len(a["linear"]), len(a["rhs"])
    rows = [[*a["quadratic"][k], *a["matrix"][:, k], -a["linear"][k]] for k in range(n)]
    rows += [[*a["matrix"][k], *[F(0)] * m, a["rhs"][k]] for k in range(m)]
    for k in range(n + m):
        pivot = next(i for i in range(k, n + m) if rows[i][k])
        rows[k], rows[pivot] = rows[pivot], rows[k]
        for i in range(n + m):
            if i != k and rows[i][k]:
                factor = rows[i][k] / rows[k][k]
                rows[i] = [
                    p - factor * q for p, q in zip(rows[i], rows[k], strict=True)
                ]
    z = np.array([rows[k][-1] / rows[k][k] for k in range(n + m)], dtype=object)
    return z, value_of(a, z[:n])


def value_of(a, x):
    return x.dot(a["quadratic"]).dot(x) / 2 + a["linear"].dot(x)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-12, 1e-6, 1e-2]))
def test_residual_holds_exactly(seed, noise):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    value = solved(problem)
    value["point"] += noise * rng.normal(size=5)
    measured = judge("kkt", 1.0, problem, value).measured
    a = {name: fractions(array) for name, array in problem.arrays.items()}
    x, lam = fractions(value["point"]), fractions(value["multipliers"])
    slope = a["quadratic"].dot(x) + a["linear"]
    stationary = max(abs(slope + a["matrix"].T.dot(lam)))
    infeasible = max(abs(a["matrix"].dot(x) - a["rhs"]))
    true = max(stationary / max(F(1), max(abs(slope))), infeasible)
    assert true <= F(measured) <= true * F(1.0001) + F(1e-12)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.booleans())
def test_curvature_is_a_lower_bound_and_close(seed, saddle):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng, saddle=saddle)
    g, h = problem.arrays["matrix"], problem.arrays["quadratic"]
    basis = np.linalg.qr(g.T, mode="complete")[0][:, 2:]
    true = np.linalg.eigvalsh(basis.T @ h @ basis)[0]
    found = judge("strict_minimum", 1e-9, problem, solved(problem))
    # LAPACK and the bound each err by some n^2 u ||H||
    assert found.measured <= true + 1e-11 * np.linalg.norm(h)
    assert found.measured >= true - 1e-9 * np.linalg.norm(h)
    assert found.holds == (found.measured >= 1e-9)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_curvature_bounds_every_member_of_the_balls(seed):
    rng = np.random.default_rng(seed)
    root, g = rng.normal(size=(4, 4)), rng.normal(size=(1, 4))
    h, radius = root @ root.T, 1e-3
    bound = reduced_curvature(
        Ball(h, np.full((4, 4), radius)), Ball(g, np.full((1, 4), radius))
    )
    for _ in range(20):
        off = rng.uniform(-radius, radius, size=(4, 4))
        near = h + (off + off.T) / 2
        jacobian = g + rng.uniform(-radius, radius, size=(1, 4))
        basis = np.linalg.qr(jacobian.T, mode="complete")[0][:, 1:]
        assert bound <= np.linalg.eigvalsh(basis.T @ near @ basis)[0] + 1e-12


def test_a_tilted_null_space_costs_curvature():
    """(-t, 1) is in the null space of (1, t): 1 - 20 t there, |t| <= 0.01."""
    h = np.array([[0.0, 10.0], [10.0, 1.0]])
    g = Ball(np.array([[1.0, 0.0]]), np.array([[0.0, 0.01]]))
    assert reduced_curvature(exact(h), exact(g.mid)) == pytest.approx(1.0, abs=1e-12)
    assert reduced_curvature(exact(h), g) <= (1 - 20 * 0.01) / (1 + 1e-4)


def test_dependent_constraints_show_nothing():
    g = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]])
    assert not reduced_curvature(exact(np.eye(3)), exact(g)) > 0


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-9, 1e-5, 1e-3]))
def test_interval_holds_the_exact_minimum(seed, noise):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    value = solved(problem)
    value["point"] += noise * rng.normal(size=5)
    found = judge("global_minimum", 1e9, problem, value)
    z, best = exact_solution(problem)
    stated = value_of(
        {name: fractions(array) for name, array in problem.arrays.items()},
        fractions(value["point"]),
    )
    if np.isfinite(found.measured):
        assert F(found.figures["lower"]) <= best <= F(found.figures["upper"])
        assert abs(stated - best) <= F(found.measured)
        gaps = fractions(value["point"]) - z[:5]
        distance = sum(g * g for g in gaps)
        assert distance <= F(found.figures["distance"]) ** 2
    if noise == 0:
        assert found.measured < 1e-9


def test_minimum_of_what_is_not_convex_is_not_shown():
    rng = np.random.default_rng(3)
    problem = random_problem(rng, saddle=True)
    found = judge("global_minimum", 1e9, problem, solved(problem))
    assert not found.holds
    assert "convex" in found.detail


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.sampled_from([0.0, 1e-9, 1e-5, 1e-3]))
def test_exact_point_lies_within_the_radius(seed, noise):
    rng = np.random.default_rng(seed)
    problem = random_problem(rng)
    value = solved(problem)
    value["point"] += noise * rng.normal(size=5)
    found = judge("kkt_exists", 1e9, problem, value)
    z, _ = exact_solution(problem)
    away = [*fractions(value["point"]), *fractions(value["multipliers"])] - z
    if np.isfinite(found.measured):
        assert max(abs(away)) <= F(found.measured)
        assert F(found.measured) <= 3 * max(abs(away)) + F(1e-9)


# f = x0 x1 on the circle: minima at (r, -r), maxima at (r, r), r = 1 / sqrt 2
CIRCLE = [
    ["variable"],
    ["view", 0, 0, [], []],
    ["view", 0, 1, [], []],
    ["multiply", 1, 2],
    ["power", 0, 2],
    ["sum", 4, [0]],
    ["number", 1.0],
    ["subtract", 5, 6],
    ["view", 7, 0, [0], [1]],
]
R = 0.5**0.5


def circle():
    program = {"nodes": CIRCLE, "objective": 3, "constraint": 8}
    arrays = {"x0": np.array([1.0, 0.2]), "multipliers0": np.zeros(1)}
    return Packed(KIND, {"program": program, "kkt_tol": 1e-6, "gap_tol": 1e-8}, arrays)


@pytest.mark.parametrize(("sign", "minimum"), [(-1.0, True), (1.0, False)])
def test_maximiser_is_stationary_and_no_minimum(sign, minimum):
    value = {"point": np.array([R, sign * R]), "multipliers": np.array([-sign / 2])}
    assert judge("kkt", 1e-12, circle(), value).holds
    assert judge("strict_minimum", 1e-6, circle(), value).holds == minimum
    assert judge("kkt_exists", 1e-12, circle(), value).holds
    exists = judge("kkt_exists", 1e-12, circle(), value)
    assert ("minimiser" in exists.detail) == minimum


def test_newtons_error_on_the_circle():
    """A point 1e-3 off: the radius holds the distance, and is of its size."""
    value = {"point": np.array([R + 1e-3, -R]), "multipliers": np.array([0.5])}
    found = judge("kkt_exists", 1.0, circle(), value)
    assert 1e-3 <= found.measured <= 5e-3
    far = {"point": np.array([R + 0.3, -R]), "multipliers": np.array([0.5])}
    assert not judge("kkt_exists", 1e9, circle(), far).holds


def test_more_than_quadratic_is_said():
    value = {"point": np.array([R, -R]), "multipliers": np.array([0.5])}
    found = judge("global_minimum", 1e9, circle(), value)
    assert "degrees are 2 and 2" in found.detail


NAMES = ("kkt", "strict_minimum", "global_minimum", "kkt_exists")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda v: v.pop("point"),
        lambda v: v.pop("multipliers"),
        lambda v: v.update(point=v["point"].astype("<f4")),
        lambda v: v.update(point=v["point"][:-1]),
        lambda v: v.update(multipliers=v["multipliers"] * np.nan),
        lambda v: v.update(point=v["point"] * np.inf),
    ],
)
def test_malformed_answers_never_hold(name, spoil):
    problem = random_problem(np.random.default_rng(0))
    value = solved(problem)
    spoil(value)
    assert not judge(
        name, 0.0 if name == "strict_minimum" else 1e9, problem, value
    ).holds


@pytest.mark.parametrize("name", NAMES)
def test_malformed_problems_never_hold(name):
    problem = random_problem(np.random.default_rng(0))
    value = solved(problem)
    promised = 0.0 if name == "strict_minimum" else 1e9
    for array in ("x0", "matrix", "multipliers0"):
        less = {k: v for k, v in problem.arrays.items() if k != array}
        assert not judge(name, promised, problem._replace(arrays=less), value).holds
    for json in ({}, {"program": None}, {"program": {"nodes": []}}):
        assert not judge(name, promised, problem._replace(json=json), value).holds
    other = problem._replace(kind="optimize.other/1")
    assert not judge(name, promised, other, value).holds


def test_every_changed_entry_of_an_answer_is_seen():
    problem = random_problem(np.random.default_rng(1))
    value = solved(problem)
    assert judge("kkt", 1e-9, problem, value).holds
    for name in ("point", "multipliers"):
        for place in range(value[name].size):
            forged = {k: v.copy() for k, v in value.items()}
            forged[name][place] += 1e-6
            assert not judge("kkt", 1e-9, problem, forged).holds
