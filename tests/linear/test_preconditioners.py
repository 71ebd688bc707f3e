"""Preconditioners: what they are as matrices, and what they save."""

import builtins

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse as sp
from tests.linear.matrices import definite, graph, poisson

import lemmata as lm
from lemmata.core import InvalidMethod, run
from lemmata.linear import (
    AlgebraicMultigrid,
    ConjugateGradients,
    Identity,
    IncompleteCholesky,
    Jacobi,
    LinearFunction,
    SPDSystem,
    SymmetricSOR,
    solution,
)
from lemmata.linear._incomplete_cholesky import incomplete_cholesky
from lemmata.linear._wavefront import Wavefronts


def as_matrix(preconditioner, problem):
    """The map applied to every unit vector."""
    with jax.enable_x64(True):
        prepared = preconditioner.prepare(problem)
        return np.asarray(jax.jit(jax.vmap(prepared))(jnp.eye(problem.size))).T


def problem_of(matrix):
    rhs = np.random.default_rng(1).normal(size=matrix.shape[0])
    return SPDSystem(matrix, rhs)


MATRICES = {
    "grid": poisson(5),
    "graph": graph(25, np.random.default_rng(0), 1.0),
    "dense": sp.csr_array(definite(25, np.random.default_rng(0))),
}


@pytest.mark.parametrize("name", MATRICES)
def test_symmetric_sor_is_the_formula(name):
    matrix = MATRICES[name].toarray()
    omega, lower = 1.3, np.tril(matrix, -1)
    diagonal = np.diag(np.diag(matrix))
    down = diagonal + omega * lower
    inverse = down @ np.linalg.inv(diagonal) @ down.T / (omega * (2 - omega))
    found = as_matrix(SymmetricSOR(omega), problem_of(MATRICES[name]))
    # condition about 100
    np.testing.assert_allclose(found @ inverse, np.eye(25), atol=1e-11)


def factor(matrix, **options):
    fronts = Wavefronts.of(matrix.indices, matrix.indptr)
    entries = incomplete_cholesky(matrix, fronts, **options)
    whole = sp.csr_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)
    np.testing.assert_array_equal(whole.toarray(), whole.toarray().T)
    return np.tril(whole.toarray())


def plain_factor(matrix, modified):
    """Kershaw's loop over dense columns, fill dropped."""
    a, n = np.tril(matrix.toarray()), matrix.shape[0]
    pattern = matrix.toarray() != 0
    for k in range(n):
        a[k, k] = np.sqrt(a[k, k])
        a[k + 1 :, k] /= a[k, k]
        for j in range(k + 1, n):
            for i in range(j, n):
                change = a[i, k] * a[j, k]
                if pattern[i, j]:
                    a[i, j] -= change
                elif modified:
                    a[i, i] -= change
                    a[j, j] -= change
    return a


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("name", ["grid", "graph", "dense"])
def test_incomplete_factor_is_that_of_a_plain_loop(name, modified):
    found = factor(MATRICES[name], modified=modified)
    expected = plain_factor(MATRICES[name], modified)
    # sums in another order
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    product, matrix = found @ found.T, MATRICES[name].toarray()
    if modified:
        np.testing.assert_allclose(product.sum(1), matrix.sum(1), atol=1e-11)
    else:  # exact on the pattern
        inside = matrix != 0
        np.testing.assert_allclose(product[inside], matrix[inside], atol=1e-11)


def test_incomplete_cholesky_is_applied_as_factored():
    matrix = MATRICES["graph"]
    lower = factor(matrix)
    found = as_matrix(IncompleteCholesky(), problem_of(matrix))
    np.testing.assert_allclose(found @ lower @ lower.T, np.eye(25), atol=1e-11)


def test_breakdown_raises_the_diagonal():
    """Kershaw's matrix: definite, but its incomplete factorisation breaks down."""
    matrix = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(matrix)[0] > 0
    assert np.isnan(plain_factor_quietly(matrix)).any()
    lower = factor(sp.csr_array(matrix))
    assert np.all(np.diag(lower) > 0)
    found = lm.solve(problem_of(matrix), ConjugateGradients(IncompleteCholesky()))
    assert found.certified


def plain_factor_quietly(matrix):
    with np.errstate(invalid="ignore"):
        return plain_factor(sp.csr_array(matrix), False)


@pytest.mark.parametrize("name", ["grid", "graph"])
def test_multigrid_is_symmetric_and_definite(name):
    pytest.importorskip("pyamg")
    matrix = poisson(20) if name == "grid" else graph(400, np.random.default_rng(0))
    found = as_matrix(AlgebraicMultigrid(), problem_of(matrix))
    np.testing.assert_allclose(found, found.T, atol=1e-12)
    eigenvalues = np.linalg.eigvals(found @ matrix.toarray()).real
    assert eigenvalues.min() > 0
    assert eigenvalues.max() < 1 + 1e-9  # damped smoothing never overshoots
    if name == "grid":
        assert eigenvalues.max() / eigenvalues.min() < 5  # a good cycle


@pytest.fixture(scope="module")
def steps():
    problem = problem_of(poisson(20))
    found = {}
    for name, preconditioner in (
        ("identity", Identity()),
        ("jacobi", Jacobi()),
        ("ssor", SymmetricSOR(1.6)),
        ("ic", IncompleteCholesky()),
        ("mic", IncompleteCholesky(modified=True)),
    ):
        solved = lm.solve(problem, ConjugateGradients(preconditioner))
        assert solved.certified, name
        assert "@" in solved.citation()
        found[name] = solved.stats.steps
    return found


def test_better_preconditioners_take_fewer_steps(steps):
    # a constant diagonal changes nothing
    assert abs(steps["jacobi"] - steps["identity"]) <= 1
    assert steps["ssor"] < 0.6 * steps["identity"]
    assert steps["mic"] < steps["ic"] < 0.5 * steps["identity"]


def test_resumes_to_the_same_bits(tmp_path):
    problem = problem_of(poisson(20))
    method, path = ConjugateGradients(IncompleteCholesky()), tmp_path / "run.zip"
    whole = lm.solve(problem, method)
    lm.solve(problem, method, max_steps=5, checkpoint=path, throw=False)
    resumed = lm.solve(problem, method, checkpoint=path)
    np.testing.assert_array_equal(resumed.value.x, whole.value.x)
    assert resumed.stats.steps == whole.stats.steps
    stopped = tmp_path / "nothing.zip"
    lm.solve(problem, method, max_steps=0, checkpoint=stopped, throw=False)
    resumed = lm.solve(problem, method, checkpoint=stopped)
    np.testing.assert_array_equal(resumed.value.x, whole.value.x)


def test_run_wants_it_prepared():
    problem = problem_of(poisson(5))
    with jax.enable_x64(True):
        value, _, _ = run(problem, ConjugateGradients(IncompleteCholesky()))
        assert np.all(np.isnan(value.x))  # no answer rather than zero
        ready = ConjugateGradients(IncompleteCholesky().prepared(problem))
        x = np.asarray(solution(problem, ready))
    expected = np.linalg.solve(problem.matrix().toarray(), problem.rhs)
    # condition 14, residual 1e-8
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "preconditioner", [SymmetricSOR(), IncompleteCholesky(), AlgebraicMultigrid()]
)
def test_unknown_entries_cannot_be_factored(preconditioner):
    problem = SPDSystem(LinearFunction(lambda x: 2 * x, 3), np.ones(3))
    with pytest.raises(InvalidMethod, match="whose entries are stored"):
        lm.solve(problem, ConjugateGradients(preconditioner))


def test_missing_pyamg_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == "pyamg":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidMethod, match=r"pip install 'lemmata\[amg\]'"):
        AlgebraicMultigrid().prepare(problem_of(poisson(5)))


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: SymmetricSOR(2.0), r"SymmetricSOR\.relaxation: expected in \(0, 2\)"),
        (lambda: SymmetricSOR(0.0), r"relaxation"),
        (lambda: AlgebraicMultigrid(smoothing=0), r"\.smoothing: expected >= 1"),
        (lambda: AlgebraicMultigrid(strength=1.0), r"\.strength: expected in \[0, 1\)"),
    ],
)
def test_bad_options_are_named(attempt, message):
    with pytest.raises(InvalidMethod, match=message):
        attempt()
