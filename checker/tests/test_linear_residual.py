"""Rules of linear systems against exact fractions, and forgeries."""

import math
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker import Packed
from lemmata_checker.case import Case, decide
from lemmata_checker.rules import linear_residual
from lemmata_checker.rules._linear_operators import norm_lower, norm_upper
from lemmata_checker.sparse import matrix_of

RESIDUAL, LARGEST = "linear.residual/1", "linear.residual_max/1"
ERROR, RECORDED = "linear.error_bound/1", "linear.recorded_residual/1"
KIND = "linear.spd_system/1"


def compressed(matrix):
    rows, columns = np.nonzero(matrix)
    lengths = np.bincount(rows, minlength=len(matrix))
    return {
        "operator_data": matrix[rows, columns],
        "operator_indices": columns.astype(np.int64),
        "operator_indptr": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
    }


def case(matrix, rhs, x, *, sparse=False, **more):
    arrays = compressed(matrix) if sparse else {"operator": matrix}
    problem = Packed(KIND, {"rtol": 1e-8}, arrays | {"rhs": rhs})
    return Case(problem=problem, value={"solution": x}, **more)


def exact_residual(matrix, rhs, x):
    exact = [F(v) for v in x.tolist()]
    return [
        abs(F(b) - sum((F(a) * v for a, v in zip(row, exact, strict=True)), F(0)))
        for row, b in zip(matrix.tolist(), rhs.tolist(), strict=True)
    ]


def stieltjes(n, rng):
    """Symmetric, off-diagonals <= 0, strictly dominant: definite."""
    off = -rng.random((n, n)) * (rng.random((n, n)) < 0.6)
    off = np.tril(off, -1)
    off = off + off.T
    return off + np.diag(-off.sum(axis=1) + 0.1 + rng.random(n))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans(), st.integers(-120, 120)
)
def test_residuals_hold_in_exact_arithmetic(n, seed, sparse, exponent):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.7)
    x = rng.normal(size=n)
    rhs = matrix @ x + 10.0 ** rng.uniform(-16, 0) * rng.normal(size=n)
    scale = 2.0**exponent
    rhs, x = rhs * scale, x * scale
    given_case = case(matrix, rhs, x, sparse=sparse)
    true = exact_residual(matrix, rhs, x)
    measured = decide(RESIDUAL, 1.0, given_case).measured
    square = sum((F(v) ** 2 for v in rhs.tolist()), F(0))
    assert sum((t * t for t in true), F(0)) <= F(measured) ** 2 * square
    largest = decide(LARGEST, 1.0, given_case).measured
    assert max(true) <= F(largest) * max(abs(F(v)) for v in rhs.tolist())
    # and not by much: rounding is of the order of the terms of each sum
    room = 1e-13 * scale * (n + 3) * (1 + np.abs(matrix).sum())
    top = float(np.max(np.abs(rhs)))
    assert largest * top <= float(max(true)) + room


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_error_is_bounded(n, seed, sparse, by_vector):
    import flint

    rng = np.random.default_rng(seed)
    matrix = stieltjes(n, rng)
    if not by_vector:  # a positive entry off the diagonal: a factorisation decides
        matrix[0, 1] = matrix[1, 0] = 0.05
    rhs = rng.normal(size=n)
    x = np.linalg.solve(matrix, rhs) + 1e-9 * rng.normal(size=n)
    found = decide(ERROR, 1.0, case(matrix, rhs, x, sparse=sparse))
    assert found.holds
    assert found.assumptions == {"positive definite": "checked"}
    true = flint.fmpq_mat([[_q(a) for a in row] for row in matrix.tolist()]).solve(
        flint.fmpq_mat([[_q(b)] for b in rhs.tolist()])
    )
    off = [
        F(int(t.p), int(t.q)) - F(v)
        for t, v in zip(true.entries(), x.tolist(), strict=True)
    ]
    size = sum((F(v) ** 2 for v in x.tolist()), F(0))
    assert sum((o * o for o in off), F(0)) <= F(found.measured) ** 2 * size
    least = found.figures["least eigenvalue, at least"]
    # LAPACK's own error is far below the room that is asked for
    assert least <= np.linalg.eigvalsh(matrix)[0] * (1 + 1e-12)
    if by_vector:
        assert max(map(abs, off)) <= F(found.figures["max|x - x*|"])


def _q(value):
    import flint

    return flint.fmpq(*F(value).as_integer_ratio())


def laplacian(n=6):
    return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def solved(**more):
    matrix, rhs = laplacian(), np.arange(1.0, 7.0)
    return case(matrix, rhs, np.linalg.solve(matrix, rhs), **more)


def test_vector_of_claim_answer_or_problem_shows_the_least_eigenvalue():
    v = np.linalg.solve(laplacian(), np.ones(6))
    for place in ("witness", "value", "problem"):
        at = solved()
        if place == "problem":
            at.problem.arrays["positive_vector"] = v
        else:
            getattr(at, place)["positive_vector"] = v
        found = decide(ERROR, 1e-10, at)
        assert found.holds
        assert "positive vector" in found.detail
        assert found.figures["least eigenvalue, at least"] == pytest.approx(1 / v.max())


@pytest.mark.parametrize(
    "wrong", [np.zeros(6), -np.ones(6), np.ones(5), np.full(6, np.nan)]
)
def test_vectors_that_are_none(wrong):
    for place in ("witness", "value"):
        at = solved()
        getattr(at, place)["positive_vector"] = wrong
        assert not decide(ERROR, 1e10, at).holds


def test_every_tampered_entry_is_rejected():
    good = solved()
    assert decide(RESIDUAL, 1e-13, good).holds
    for index in range(6):
        x = good.value["solution"].copy()
        x[index] += 1e-3
        for claim in (RESIDUAL, LARGEST, ERROR):
            assert not decide(
                claim, 1e-6, case(laplacian(), np.arange(1.0, 7.0), x)
            ).holds


@pytest.mark.parametrize("claim", [RESIDUAL, LARGEST, ERROR])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda at: at.value.update(solution=np.full(6, np.nan)),
        lambda at: at.value.update(solution=np.full(6, np.inf)),
        lambda at: at.value.update(solution=np.ones(7)),
        lambda at: at.value.update(solution=np.ones(6, np.float32)),
        lambda at: at.value.clear(),
        lambda at: at.value.update(other=np.ones(1)),
        lambda at: at.problem.arrays.update(rhs=np.full(6, np.nan)),
        lambda at: at.problem.arrays.pop("rhs"),
        lambda at: at.problem.arrays.update(operator=np.ones((6, 5))),
        lambda at: at.problem.arrays.update(operator=np.full((6, 6), np.inf)),
        lambda at: at.problem.arrays.pop("operator"),
        lambda at: at.problem.arrays.update(operator=np.full((6, 6), 1e308)),
    ],
)
def test_malformed_never_holds(claim, spoil):
    at = solved()
    spoil(at)
    assert not decide(claim, 1e300, at).holds


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("indices", np.array([9] * 16)),
        ("indices", np.array([-1] * 16)),
        ("indices", np.zeros(16, np.int64)),
        ("indices", np.zeros(16)),
        ("indptr", np.array([1, 2, 3, 4, 5, 6, 16])),
        ("indptr", np.array([0, 9, 3, 4, 5, 6, 16])),
        ("indptr", np.array([0, 2, 3, 4, 5, 6, 17])),
        ("indptr", np.zeros(0, np.int64)),
        ("data", np.ones(15)),
        ("data", np.full(16, np.nan)),
    ],
)
def test_malformed_rows_never_hold(part, wrong):
    at = solved(sparse=True)
    assert decide(RESIDUAL, 1e-14, at).holds
    at = solved(sparse=True)
    at.problem.arrays[f"operator_{part}"] = wrong
    assert not decide(RESIDUAL, 1e300, at).holds


def test_indefinite_singular_and_asymmetric_get_no_error_bound():
    rhs = np.arange(1.0, 7.0)
    shifted = laplacian() - np.eye(6)
    x = np.linalg.solve(shifted, rhs)
    assert decide(RESIDUAL, 1e-10, case(shifted, rhs, x)).holds
    assert not decide(ERROR, 1e10, case(shifted, rhs, x)).holds
    singular = laplacian()
    singular[0, 0] = singular[-1, -1] = 1
    assert not decide(ERROR, 1e10, case(singular, rhs, x)).holds
    skew = laplacian() + np.eye(6, k=2) * -1e-9
    for sparse in (False, True):
        assert not decide(ERROR, 1e10, case(skew, rhs, x, sparse=sparse)).holds


def test_zero_rhs_wants_zero():
    zero = np.zeros(6)
    for claim in (RESIDUAL, LARGEST, ERROR):
        assert decide(claim, 0.0, case(laplacian(), zero, zero)).holds
        tiny = np.full(6, 1e-300)
        assert not decide(claim, 1e300, case(laplacian(), zero, tiny)).holds


def test_other_kinds_are_refused():
    at = solved()
    other = Case(problem=Packed("transport.optimal/1", {}, at.problem.arrays))
    for claim in (RESIDUAL, LARGEST, ERROR, RECORDED):
        assert not decide(claim, 1e300, other).holds


def recorded(x, image, point=None):
    function = {"name": "f", "size": 6, "source_sha256": ""}
    problem = Packed(KIND, {"function": function}, {"rhs": np.arange(1.0, 7.0)})
    witness = {"point": x if point is None else point, "image": image}
    return Case(problem=problem, value={"solution": x}, witness=witness)


def test_recorded_evaluation():
    rhs = np.arange(1.0, 7.0)
    x = np.linalg.solve(laplacian(), rhs)
    found = decide(RECORDED, 1e-14, recorded(x, laplacian() @ x))
    assert found.holds
    assert found.grade == "evidence"
    assert "unchecked" in found.assumptions.values()
    assert not decide(RECORDED, 1e-3, recorded(x, rhs + 1.0)).holds
    assert not decide(RECORDED, 1e-3, recorded(x, rhs, x + 1e-9)).holds
    assert not decide(RECORDED, 1e300, recorded(x, rhs[:-1])).holds
    assert not decide(RECORDED, 1e300, solved()).holds  # stored: it is computed
    assert not decide(RESIDUAL, 1e300, recorded(x, rhs)).holds


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.integers(-300, 290))
def test_norms_are_bounds(n, seed, exponent):
    values = np.random.default_rng(seed).normal(size=n) * 10.0**exponent
    square = sum((F(v) ** 2 for v in values.tolist()), F(0))
    high, low = norm_upper(values), norm_lower(values)
    assert F(low) ** 2 <= square <= F(high) ** 2
    assert high <= low * (1 + 1e-13)  # 2 gamma_34, about 8e-15
    assert norm_upper(np.zeros(3)) == 0
    assert math.isinf(norm_upper(np.array([np.inf])))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32 - 1), st.booleans())
def test_products_know_their_rounding(n, m, seed, sparse):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, m)) * 10.0 ** rng.integers(-12, 12, (n, m))
    matrix *= rng.random((n, m)) < 0.5
    arrays = {"a": matrix}
    if sparse:
        arrays = {k.replace("operator", "a"): v for k, v in compressed(matrix).items()}
    found = matrix_of(arrays, "a", (n, m))
    x, y = rng.normal(size=m), rng.normal(size=n)
    for (value, error), rows, by in (
        (found.product(x), matrix, x),
        (found.transposed(y), matrix.T, y),
    ):
        true = exact_residual(rows, np.zeros(len(rows)), by)
        for got, off, exact in zip(value.tolist(), error.tolist(), true, strict=True):
            assert abs(abs(F(got)) - exact) <= F(off)
    bound = found.absolute_product(x)
    for got, row in zip(bound.tolist(), matrix.tolist(), strict=True):
        exact = sum(
            (abs(F(a) * F(b)) for a, b in zip(row, x.tolist(), strict=True)), F(0)
        )
        assert exact <= F(got) <= exact * F(1.001) + F(1e-290)
    np.testing.assert_array_equal(found.dense(), matrix)
    np.testing.assert_array_equal(found.diagonal(), matrix.diagonal())


def test_kinds():
    kinds = {rule.id: rule.kinds for rule in linear_residual.RULES}
    assert KIND in kinds[RESIDUAL]
    assert "linear.grid_poisson/1" in kinds[ERROR]
