"""The problem: what it takes, refuses, packs and claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from tests.linear.matrices import definite, poisson

import lemmata as lm
from lemmata.core import InvalidArgument, InvalidProblem
from lemmata.linear import (
    ConjugateGradients,
    LinearFunction,
    LinearSolution,
    SPDSystem,
    solution,
)
from lemmata.numerics.sparse import SparseMatrix

MATRIX = poisson(4)
RHS = np.random.default_rng(0).normal(size=16)


def exact():
    return np.linalg.solve(MATRIX.toarray(), RHS)


@pytest.mark.parametrize(
    "operator",
    [MATRIX, MATRIX.toarray(), sp.coo_matrix(MATRIX), SparseMatrix.of(MATRIX)],
)
def test_operators_are_the_same_system(operator):
    problem = SPDSystem(operator, RHS)
    np.testing.assert_array_equal(problem.matrix().toarray(), MATRIX.toarray())
    np.testing.assert_array_equal(problem.diagonal(), MATRIX.diagonal())
    np.testing.assert_allclose(problem.apply(RHS), MATRIX @ RHS, rtol=1e-14)
    judged = lm.certify(problem, problem.candidate(x=exact()))
    assert judged.certified
    assert len(judged.certificate.decisions) == 3
    assert not lm.certify(problem, problem.candidate(x=exact() + 1e-3)).certified
    packed = problem.pack()
    again = SPDSystem.unpack(packed.json, packed.arrays)
    assert again.pack().json == packed.json
    for name, array in packed.arrays.items():
        np.testing.assert_array_equal(again.pack().arrays[name], array)


def changed(row, column, value):
    matrix = MATRIX.toarray()
    matrix[row, column] = value
    return matrix


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: SPDSystem(np.ones((2, 3)), RHS), r"\.operator: expected shape \(n, n"),
        (lambda: SPDSystem(np.ones((0, 0)), RHS), r"\.operator: expected shape"),
        (lambda: SPDSystem(np.ones(3), RHS), r"\.operator: expected shape"),
        (lambda: SPDSystem(changed(0, 1, -1.5), RHS), r"A = A\.T exactly.*= 0\.5"),
        (
            lambda: SPDSystem(sp.csr_array(changed(0, 5, 1e-9)), RHS),
            r"A = A\.T exactly.*1e-09",
        ),
        (lambda: SPDSystem(changed(2, 2, 0.0), RHS), r"positive diagonal.*row 2"),
        (lambda: SPDSystem(-MATRIX, RHS), r"positive diagonal.*-4"),
        (lambda: SPDSystem(changed(1, 1, np.nan), RHS), r"\.operator: .*1 not finite"),
        (lambda: SPDSystem(MATRIX * np.inf, RHS), r"\.operator: .*not finite"),
        (lambda: SPDSystem(MATRIX * (1 + 0j), RHS), r"\.operator: expected real"),
        (lambda: SPDSystem(lambda x: x, RHS), r"LinearFunction\(function, size\)"),
        (lambda: SPDSystem(MATRIX, RHS[:-1]), r"\.rhs: expected shape \(16,\)"),
        (lambda: SPDSystem(MATRIX, RHS * np.nan), r"\.rhs: .*16 not finite"),
        (lambda: SPDSystem(MATRIX, RHS + 0j), r"\.rhs: expected real"),
        (lambda: SPDSystem(MATRIX, RHS, rtol=0.0), r"\.rtol: expected in \(0, 1\)"),
        (lambda: SPDSystem(MATRIX, RHS, rtol=1.0), r"\.rtol"),
        (lambda: SPDSystem(MATRIX, RHS, rtol=np.nan), r"\.rtol"),
        (
            lambda: SPDSystem(MATRIX, RHS, positive_vector=-(RHS**2)),
            r"\.positive_vector: expected > 0",
        ),
        (
            lambda: SPDSystem(MATRIX, RHS, positive_vector=np.ones(3)),
            r"\.positive_vector: expected shape",
        ),
        (
            lambda: SPDSystem(LinearFunction(abs, 16, diagonal_entries=-(RHS**2)), RHS),
            r"positive diagonal",
        ),
        (
            lambda: SPDSystem(LinearFunction(abs, 16, diagonal_entries=RHS[1:]), RHS),
            r"diagonal_entries of shape \(16,\)",
        ),
        (
            lambda: SPDSystem.unpack({}, {"operator_data": RHS, "rhs": RHS}),
            r"no operator_indices, operator_indptr",
        ),
        (
            lambda: SPDSystem.unpack(
                {},
                {
                    "operator_data": np.ones(2),
                    "operator_indices": np.array([1, 0]),
                    "operator_indptr": np.array([0, 2]),
                    "rhs": np.ones(1),
                },
            ),
            r"compressed rows",
        ),
    ],
)
def test_bad_input_is_named(attempt, message):
    with pytest.raises(InvalidProblem, match=message):
        attempt()


def test_candidates():
    problem = SPDSystem(MATRIX, RHS)
    value = problem.candidate(x=RHS[:, None])  # one column of a table
    assert isinstance(value, LinearSolution)
    np.testing.assert_array_equal(np.asarray(value), RHS)
    for wrong in (RHS[1:], RHS + 1j, "x"):
        with pytest.raises(InvalidArgument, match=r"candidate\.x"):
            problem.candidate(x=wrong)


def test_error_bound_is_issued_where_something_shows_it():
    rng = np.random.default_rng(0)
    by_vector = np.linalg.solve(MATRIX.toarray(), np.ones(16))
    certificate = lm.certify(
        SPDSystem(MATRIX, RHS, positive_vector=by_vector),
        SPDSystem(MATRIX, RHS).candidate(x=exact()),
    ).certificate
    assert certificate["error_bound"].holds
    assert "positive vector" in certificate["error_bound"].detail
    dense = definite(20, rng)
    problem = SPDSystem(dense, rng.normal(size=20))
    x = np.linalg.solve(dense, problem.rhs)
    certificate = lm.certify(problem, problem.candidate(x=x)).certificate
    assert certificate["error_bound"].figures["least eigenvalue, at least"] >= 0.999
    shifted = SPDSystem(MATRIX - sp.eye_array(16), RHS)  # indefinite
    certificate = lm.certify(shifted, shifted.candidate(x=exact())).certificate
    assert [w.id for w in certificate.withheld] == ["linear.error_bound/1"]


@pytest.mark.parametrize("large", [True, False])
def test_error_bound_is_withheld_with_a_reason(large):
    n = 1100 if large else 16
    matrix = (
        sp.diags_array(
            [0.1, -1.0, 4.0, -1.0, 0.1], offsets=[-2, -1, 0, 1, 2], shape=(n, n)
        )
        if large
        else MATRIX
    )
    problem = SPDSystem(matrix, np.ones(n))
    x = np.zeros(n) if not large else np.ones(n)
    (withheld,) = lm.certify(problem, problem.candidate(x=x)).certificate.withheld
    assert ("least eigenvalue" if large else "x is zero") in withheld.reason


def test_zero_rhs_is_zero_whatever_the_start():
    problem = SPDSystem(MATRIX, np.zeros(16))
    start = problem.candidate(x=RHS)
    for found in (lm.solve(problem), lm.solve(problem, start=start)):
        np.testing.assert_array_equal(found.value.x, 0.0)
        assert found.stats.steps == 0
        assert found.certified


def double_laplacian(x):
    padded = jnp.concatenate([jnp.zeros(1), x, jnp.zeros(1)])
    return 2 * (2 * x - padded[:-2] - padded[2:])


def test_functions_get_evidence_and_no_more(tmp_path):
    problem = SPDSystem(LinearFunction(double_laplacian, 12), np.ones(12))
    found = lm.solve(problem)
    (decision,) = found.certificate.decisions
    assert (decision.id, decision.grade) == ("linear.recorded_residual/1", "evidence")
    assert decision.holds
    assert len(found.certificate.withheld) == 3
    again = lm.load(found.save(tmp_path / "answer.lemma"))
    assert again.certified
    assert again.problem.operator.name == "double_laplacian"
    assert len(again.problem.operator.source_digest) == 64
    with pytest.raises(InvalidArgument, match="the function itself"):
        again.problem.operator @ np.ones(12)
    with pytest.raises(InvalidArgument, match="stored operator"):
        problem.matrix()


def test_derivatives_are_implicit():
    rng = np.random.default_rng(0)
    matrix, b, w = definite(6, rng, 10.0), rng.normal(size=6), rng.normal(size=6)
    sparse = SparseMatrix.of(matrix * (np.abs(matrix) > 0.5))

    def dense(a, b):
        return jnp.asarray(w) @ solution(SPDSystem(a, b, rtol=1e-12))

    def entries(data):
        problem = SPDSystem(sparse.with_data(data), b, rtol=1e-12)
        return jnp.asarray(w) @ solution(problem)

    with jax.enable_x64(True):
        in_a, in_b = jax.jit(jax.grad(dense, argnums=(0, 1)))(matrix, b)
        in_data = jax.jit(jax.grad(entries))(jnp.asarray(sparse.data))
    x, adjoint = np.linalg.solve(matrix, b), np.linalg.solve(matrix, w)
    # two solves to 1e-12, condition 10
    np.testing.assert_allclose(in_b, adjoint, rtol=1e-9)
    np.testing.assert_allclose(in_a, -np.outer(adjoint, x), rtol=1e-9, atol=1e-11)
    x = np.linalg.solve(sparse.dense(), b)
    adjoint = np.linalg.solve(sparse.dense(), w)
    expected = -adjoint[sparse.rows()] * x[sparse.indices]
    np.testing.assert_allclose(in_data, expected, rtol=1e-9, atol=1e-11)


def test_solution_is_nan_rather_than_wrong():
    from lemmata.linear import IncompleteCholesky

    with jax.enable_x64(True):
        problem = SPDSystem(MATRIX, RHS)
        assert np.all(np.isnan(solution(problem, max_steps=1)))
        method = ConjugateGradients(IncompleteCholesky())
        with pytest.raises(InvalidArgument, match="prepared"):
            solution(problem, method)
