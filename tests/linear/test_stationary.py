"""Stationary iterations: the counts of a plain loop, whatever the schedule."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from tests.linear.matrices import definite, graph, poisson

import lemmata as lm
from lemmata.linear import SOR, SSOR, SPDSystem
from lemmata.linear._hosted import waiting_at
from lemmata.linear._stationary import _ready


def plain(matrix, rhs, relaxation, rtol, symmetric):
    """Dense triangular solves, row after row; the count and the last iterate."""
    x, lower = np.zeros_like(rhs), np.tril(matrix, -1)
    diagonal = np.diag(np.diag(matrix))
    down = diagonal + relaxation * lower
    for count in range(100_000):
        residual = rhs - matrix @ x
        norms = [
            np.linalg.norm(residual, o) / np.linalg.norm(rhs, o) for o in (2, np.inf)
        ]
        if max(norms) <= rtol:
            return count, x
        step = scipy.linalg.solve_triangular(down, residual, lower=True)
        if symmetric:
            step = diagonal @ step * (2 - relaxation)
            step = scipy.linalg.solve_triangular(down.T, step, lower=False)
        x = x + relaxation * step
    raise AssertionError("the plain loop did not converge")


@pytest.mark.parametrize("method", [SOR, SSOR])
def test_counts_equal_those_of_a_plain_loop(method):
    import jax

    rng, cases = np.random.default_rng(0), 0
    # one pattern, so that the sweeps are compiled once; dense, so that each row waits
    with jax.enable_x64(True):
        for _ in range(100):
            matrix = definite(7, rng, 10.0 ** rng.uniform(0.1, 2))
            rhs, relaxation = rng.normal(size=7), rng.uniform(0.3, 1.8)
            problem = SPDSystem(matrix, rhs, rtol=1e-6)
            made = method(relaxation)
            count = _count(problem, made)
            expected, _ = plain(matrix, rhs, relaxation, 1e-6, method is SSOR)
            assert count == expected
            cases += 1
    assert cases == 100


def _count(problem, method):
    """The driver's loop without its driver: 200 certificates would take minutes."""
    import equinox as eqx
    import jax

    from lemmata.core._arrays import to_jax

    problem, method = to_jax(problem), to_jax(method)
    waiting = waiting_at(problem, np.zeros(problem.size))
    state = _ready(problem, method.correction(problem), waiting)

    global _LOOP
    if _LOOP is None:

        def loop(problem, method, state):
            return jax.lax.while_loop(
                lambda s: ~method.done(problem, s),
                lambda s: method.step(problem, s),
                state,
            )

        _LOOP = eqx.filter_jit(loop)
    return int(_LOOP(problem, method, state).steps)


_LOOP = None


@pytest.mark.parametrize("method", [SOR, SSOR])
@pytest.mark.parametrize(
    "matrix",
    [poisson(6), graph(36, np.random.default_rng(3), 1.0)],
    ids=["grid", "graph"],
)
def test_sparse_schedules_change_nothing(matrix, method):
    rhs = np.random.default_rng(1).normal(size=36)
    found = lm.solve(SPDSystem(matrix, rhs), method(1.4))
    count, x = plain(matrix.toarray(), rhs, 1.4, 1e-8, method is SSOR)
    assert found.stats.steps == count
    # the same operations up to the order of sums in a residual
    np.testing.assert_allclose(found.value.x, x, rtol=1e-10)
    assert found.certified


def test_divergence_means_indefinite():
    matrix = 2 * np.eye(6) - np.eye(6, k=1) - np.eye(6, k=-1) - 0.9 * np.eye(6)
    found = lm.solve(SPDSystem(matrix, np.ones(6)), SOR(), throw=False)
    assert found.result.name == "indefinite"
    assert not found.certified


def test_limits_and_warm_start():
    problem = SPDSystem(poisson(6), np.ones(36))
    short = lm.solve(problem, SOR(max_sweeps=5), throw=False)
    assert (short.result.name, short.stats.steps) == ("max_sweeps", 5)
    assert "5 sweeps" in short.result.sentence
    whole = lm.solve(problem, SOR())
    warm = lm.solve(problem, SOR(), start=short)
    assert warm.stats.steps == whole.stats.steps - 5
    np.testing.assert_allclose(warm.value.x, whole.value.x, rtol=1e-12)


def test_rounding_stagnates():
    problem = SPDSystem(poisson(6), np.ones(36), rtol=1e-16)
    found = lm.solve(problem, SOR(1.5), throw=False)
    assert found.result.name in ("stagnated", "max_sweeps")
    assert not found.certified


def test_resumes_to_the_same_bits(tmp_path):
    problem = SPDSystem(poisson(6), np.ones(36))
    whole, path = lm.solve(problem, SSOR(1.3)), tmp_path / "run.zip"
    lm.solve(problem, SSOR(1.3), max_steps=7, checkpoint=path, throw=False)
    resumed = lm.solve(problem, SSOR(1.3), checkpoint=path)
    np.testing.assert_array_equal(resumed.value.x, whole.value.x)
    assert resumed.stats.steps == whole.stats.steps


@pytest.mark.parametrize("relaxation", [0.0, 2.0, -1.0, np.nan])
@pytest.mark.parametrize("method", [SOR, SSOR])
def test_relaxation_out_of_range(method, relaxation):
    with pytest.raises(
        lm.core.InvalidMethod, match=r"relaxation: expected in \(0, 2\)"
    ):
        method(relaxation)


def test_unknown_entries_cannot_be_swept():
    from lemmata.linear import LinearFunction

    problem = SPDSystem(LinearFunction(lambda x: 2 * x, 3), np.ones(3))
    with pytest.raises(lm.core.InvalidMethod, match="whose entries are stored"):
        lm.solve(problem, SOR())


def test_stored_zeros_do_not_matter():
    matrix = poisson(6).tolil()
    matrix[0, 20] = 1.0
    matrix = sp.csr_array(matrix)
    matrix.data[matrix.data == 1.0] = 0.0  # stored on one side only
    found = lm.solve(SPDSystem(matrix, np.ones(36)), SOR())
    assert (
        found.stats.steps
        == lm.solve(SPDSystem(poisson(6), np.ones(36)), SOR()).stats.steps
    )
