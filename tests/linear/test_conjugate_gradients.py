"""Conjugate gradients: finite termination, honest endings, both promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as peers
from tests.linear.matrices import definite, graph, poisson

import lemmata as lm
from lemmata.linear import (
    ConjugateGradients,
    Identity,
    LinearFunction,
    Prepared,
    SPDSystem,
)

RNG = np.random.default_rng(0)


def relative(problem, x, ord=2):
    residual = problem.rhs - problem.matrix() @ x
    return np.linalg.norm(residual, ord) / np.linalg.norm(problem.rhs, ord)


@pytest.mark.parametrize(
    "matrix", [poisson(12), graph(144, RNG)], ids=["grid", "graph"]
)
def test_as_many_steps_as_scipy(matrix):
    problem = SPDSystem(matrix, np.random.default_rng(1).normal(size=144), rtol=1e-6)
    found = lm.solve(problem, ConjugateGradients(Identity()))
    counted = []
    peers.cg(matrix, problem.rhs, rtol=1e-6, callback=lambda _: counted.append(1))
    # We go on until the maximum norm is met, too.
    assert len(counted) <= found.stats.steps <= len(counted) + 6
    for ord in (2, np.inf):
        assert relative(problem, found.value.x, ord) <= 1e-6
    # the smallest possible would be the last residual above the promise
    assert found.stats.trace["residual"][-4] > 1e-7


def test_few_distinct_eigenvalues_take_few_steps():
    q = np.linalg.qr(RNG.normal(size=(30, 30)))[0]
    matrix = (q * np.repeat([1.0, 5.0, 9.0], 10)) @ q.T
    problem = SPDSystem((matrix + matrix.T) / 2, RNG.normal(size=30), rtol=1e-10)
    assert lm.solve(problem, ConjugateGradients(Identity())).stats.steps == 3


def dense_problem(matrix, **options):
    return SPDSystem(matrix, np.random.default_rng(2).normal(size=30), **options)


def outcome(problem, method=ConjugateGradients(), **limits):  # noqa: B008
    found = lm.solve(problem, method, throw=False, **limits)
    return found.result.name, found


def test_indefinite_names_the_step():
    matrix = definite(30, RNG)
    shifted = matrix - 3.0 * np.eye(30) * 0.5
    shifted[np.arange(30), np.arange(30)] = np.abs(np.diag(shifted))
    assert np.linalg.eigvalsh(shifted)[0] < 0
    name, found = outcome(dense_problem(shifted))
    assert name == "indefinite"
    assert f"Step {found.stats.steps} " in found.result.sentence
    assert not found.certified
    with pytest.raises(lm.core.NotConverged, match="not positive definite"):
        lm.solve(dense_problem(shifted))


def neumann(n):
    """Path of springs with both ends free: singular, null vector of ones."""
    matrix = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    matrix[0, 0] = matrix[-1, -1] = 1
    return matrix


def test_singular_and_inconsistent():
    name, found = outcome(dense_problem(neumann(30)))
    assert name == "singular"
    assert "null space" in found.result.sentence
    assert not found.certified


def test_singular_but_consistent():
    rhs = np.random.default_rng(2).normal(size=30)
    problem = SPDSystem(neumann(30), rhs - rhs.mean())
    name, found = outcome(problem)
    # rhs sums to zero up to rounding only
    assert name == "converged"
    assert found.certificate["residual"].holds


def test_rounding_stagnates():
    i = np.arange(30)
    hilbert = 1.0 / (i[:, None] + i + 1)
    name, found = outcome(dense_problem(hilbert, rtol=1e-12))
    assert name in ("stagnated", "singular")
    assert not found.certified
    name, found = outcome(dense_problem(definite(30, RNG, 1e3), rtol=1e-15))
    assert name == "stagnated"
    assert "larger" in found.result.sentence


def test_preconditioner_that_is_none():
    flip = jnp.concatenate([jnp.ones(15), -jnp.ones(15)])
    method = ConjugateGradients(Prepared(lambda r: flip * r))
    name, found = outcome(dense_problem(definite(30, RNG)), method)
    assert name == "indefinite"
    assert not found.certified
    method = ConjugateGradients(Prepared(lambda r: -r))
    name, found = outcome(dense_problem(definite(30, RNG)), method)
    assert name == "indefinite"
    assert "preconditioner" in found.result.sentence
    assert found.stats.steps == 0


def test_nan_midway():
    def operator(x):
        return jnp.where(jnp.abs(x[0]) < 0.3, jnp.nan, x * jnp.arange(1.0, 31.0))

    problem = SPDSystem(LinearFunction(operator, 30), np.ones(30))
    name, found = outcome(problem)
    assert name == "not_finite"
    assert not found.certified


def test_limits():
    name, found = outcome(dense_problem(definite(30, RNG)), max_steps=3)
    assert name == "max_steps"
    assert found.stats.steps == 3
    assert not found.certified
    patient = ConjugateGradients(patience=1)
    name, found = outcome(dense_problem(definite(30, RNG, 1e6)), patient)
    assert name == "stagnated"


@pytest.mark.parametrize("exponent", [-250, -160, 160, 250])
def test_tiny_and_huge(exponent):
    scale = 10.0**exponent
    matrix = definite(30, np.random.default_rng(0))
    for problem in (
        SPDSystem(matrix, scale * np.ones(30)),
        SPDSystem(matrix * (1 / scale), np.ones(30)),
    ):
        found = lm.solve(problem)
        assert found.certified
    expected = np.linalg.solve(matrix, np.ones(30))
    # condition 100, residual 1e-8
    np.testing.assert_allclose(found.value.x / scale, expected, rtol=1e-5)


def test_badly_scaled_rows_need_no_more_steps():
    matrix, rng = definite(30, np.random.default_rng(0)), np.random.default_rng(1)
    plain = lm.solve(SPDSystem(matrix, np.ones(30)))
    d = 2.0 ** rng.integers(-30, 30, 30)
    scaled = SPDSystem(matrix * d * d[:, None], d)
    found = lm.solve(scaled, throw=False)
    # Jacobi undoes the scaling; what is promised is another norm
    assert found.stats.steps <= 3 * plain.stats.steps
    assert found.result.name in ("converged", "stagnated")


def test_warm_start_takes_fewer_steps():
    problem = SPDSystem(poisson(12), np.random.default_rng(1).normal(size=144))
    cold = lm.solve(problem)
    near = SPDSystem(problem.operator, problem.rhs * (1 + 1e-6))
    warm = lm.solve(near, start=cold)
    assert warm.certified
    assert warm.stats.steps < 0.6 * cold.stats.steps
    assert lm.solve(problem, start=cold).stats.steps == 0


def test_enclosing_vector_bounds_the_error():
    matrix = poisson(34)  # more rows than are factorised
    problem = SPDSystem(matrix, np.random.default_rng(1).normal(size=34**2))
    plain = lm.solve(problem)
    assert "error_bound" not in plain.certificate
    found = lm.solve(problem, ConjugateGradients(enclose=True))
    np.testing.assert_array_equal(found.value.x, plain.value.x)
    bound = found.certificate["error_bound"]
    assert bound.holds
    least = np.linalg.eigvalsh(matrix.toarray())[0]
    shown = bound.figures["least eigenvalue, at least"]
    assert 0.5 * least <= shown <= least
    error = np.linalg.norm(found.value.x - peers.spsolve(matrix.tocsc(), problem.rhs))
    assert error <= bound.figures["||x - x*||_2"]
    assert np.all(found.value.positive_vector > 0)


def test_enclosing_needs_nonpositive_couplings():
    matrix = definite(30, np.random.default_rng(0))
    found = lm.solve(SPDSystem(matrix, np.ones(30)), ConjugateGradients(enclose=True))
    assert "positive_vector" not in found.value.pack()
    assert found.certified


def test_runs_under_jit_and_vmap():
    matrix = definite(30, np.random.default_rng(0))

    def solve(rhs):
        problem = SPDSystem(matrix, rhs)
        return lm.core.run(problem, ConjugateGradients(), max_steps=200)[0].x

    stacked = np.stack([np.ones(30), np.zeros(30), np.arange(30.0)])
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(jax.vmap(solve))(jnp.asarray(stacked)))
    # condition 100, residual 1e-8
    np.testing.assert_allclose(
        found, np.linalg.solve(matrix, stacked.T).T, rtol=1e-5, atol=1e-8
    )


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: ConjugateGradients("jacobi"), r"\.preconditioner: expected a precond"),
        (lambda: ConjugateGradients(patience=0), r"\.patience: expected None or >= 1"),
        (lambda: Prepared(3), r"Prepared\.function"),
    ],
)
def test_bad_options_are_named(attempt, message):
    with pytest.raises(lm.core.InvalidMethod, match=message):
        attempt()


def test_dense_and_sparse_agree():
    matrix = poisson(12)
    rhs = np.random.default_rng(1).normal(size=144)
    one = lm.solve(SPDSystem(matrix, rhs))
    two = lm.solve(SPDSystem(sp.csr_array(matrix).toarray(), rhs))
    assert one.stats.steps == two.stats.steps
    # sums in another order
    np.testing.assert_allclose(one.value.x, two.value.x, rtol=1e-7)
