"""Plans: what the view shows, rounding to feasibility, values from elsewhere."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from lemmata.core import InvalidArgument, TooLarge, certify, solve
from lemmata.core._arrays import to_jax, to_numpy
from lemmata.transport import DensePlan, EntropicTransport, PointCost, Sinkhorn
from lemmata.transport._rounding import accurate_plan, normalised
from lemmata.transport._values import transport_plan

from .instances import decided, weighted

EPSILON = 0.03


@pytest.fixture(scope="module")
def problem():
    return EntropicTransport(*weighted(24, 24), epsilon=EPSILON)


@pytest.fixture(scope="module")
def plan(problem):
    return solve(problem, Sinkhorn()).value


def test_view_is_the_definition(problem, plan):
    cost = np.asarray(problem.cost.matrix())
    x, y = plan.row_potential, plan.column_potential
    expected = np.exp((x[:, None] + y - cost) / EPSILON - 1)
    expected *= np.outer(plan.row_scaling, plan.column_scaling)
    rest = np.outer(plan.row_remainder, plan.column_remainder)
    expected += rest / plan.row_remainder.sum()
    expected *= np.outer(problem.source > 0, problem.target > 0)
    dense = plan.dense()
    # Exponents up to 50, rounded.
    np.testing.assert_allclose(dense, expected, rtol=1e-13, atol=1e-300)
    np.testing.assert_array_equal(plan.rows(5, 9), dense[5:9])
    rng = np.random.default_rng(0)
    v, w = rng.random(24), rng.random((24, 2))
    for found, wanted in (
        (plan @ v, dense @ v),
        (plan @ w, dense @ w),
        (v @ plan, v @ dense),
        (plan.T @ w, dense.T @ w),
        (w.T @ plan.T, w.T @ dense.T),
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-13)
    assert plan.T.T is plan
    sparse = plan.sparse(1e-6)
    assert scipy.sparse.issparse(sparse)
    np.testing.assert_array_equal(sparse.toarray(), np.where(dense > 1e-6, dense, 0))


def test_marginals_cost_and_map(problem, plan):
    dense = plan.dense()
    r = problem.source / problem.source.sum()
    c = problem.target / problem.target.sum()
    rows, columns = plan.marginals()
    assert np.abs(rows - r).sum() + np.abs(columns - c).sum() <= 1e-12
    cost = np.asarray(problem.cost.matrix())
    assert plan.cost == pytest.approx(np.sum(cost * dense), rel=1e-13)
    positive = dense[dense > 0]
    entropic = plan.cost + EPSILON * np.sum(positive * np.log(positive))
    assert plan.regularised_cost == pytest.approx(entropic, rel=1e-12)
    points = np.random.default_rng(0).random((24, 3))
    image = plan.map(points)
    assert np.all(np.isnan(image[3]))  # no weight
    np.testing.assert_allclose(image[4], dense[4] @ points / dense[4].sum())
    np.testing.assert_allclose(plan.map(points[:, 0])[4], image[4, 0])


def test_dense_has_a_guard(plan):
    with pytest.raises(TooLarge, match="24 x 24 = 576"):
        plan.dense(limit=100)


def test_packing_goes_there_and_back(problem, plan):
    again = problem.value_from(plan.pack())
    np.testing.assert_array_equal(again.dense(), plan.dense())


def test_any_potentials_are_rounded_to_a_feasible_plan(problem):
    rng = np.random.default_rng(0)
    shapes = problem.source.shape, problem.target.shape
    potentials = [0.1 * rng.normal(size=s) for s in shapes]
    solution = certify(problem, problem.candidate(potentials=potentials))
    assert decided(solution)["marginals"].holds
    assert not decided(solution)["entropic_enclosure"].holds
    value = solution.value
    for scaling in (value.row_scaling, value.column_scaling):
        assert np.all((scaling > 0) & (scaling <= 1))
    assert np.all(value.row_remainder >= 0)
    assert np.all(value.column_remainder >= 0)


def test_exponents_of_a_hundred_thousand_keep_their_digits():
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 3)), rng.random((24, 3))
    epsilon = 3e-5
    points = PointCost(x, y)
    problem = EntropicTransport(points, epsilon=epsilon)
    cost = points.matrix()
    u = np.zeros(24)
    v = (cost - u[:, None]).min(axis=0) + 30 * epsilon
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in (epsilon, u, v)]
        found = np.asarray(accurate_plan(to_jax(points), *arrays, 0, 24))
        value = to_numpy(transport_plan(to_jax(problem), *arrays[1:]))
    i, j = np.unravel_index(np.argmax(found), found.shape)
    gaps = [Fraction(a) - Fraction(b) for a, b in zip(x[i], y[j], strict=True)]
    exact = Fraction(u[i]) + Fraction(v[j]) - sum(g * g for g in gaps)
    exact = float(exact / Fraction(epsilon) - 1)
    # float64 would be off by 1e5 * 2^-53 = 1e-11; the line above rounds twice at 30.
    assert found[i, j] == pytest.approx(np.exp(exact), rel=2e-14)
    assert decided(certify(problem, value))["marginals"].holds


def test_weights_are_normalised_to_the_last_bit():
    weights = np.random.default_rng(0).random(301) ** 9
    with jax.enable_x64(True):
        found = np.asarray(normalised(jnp.asarray(weights)))
    total = sum(map(Fraction, weights))
    for got, w in zip(found, weights, strict=True):
        exact = Fraction(w) / total
        assert abs(Fraction(got) - exact) <= exact * Fraction(2) ** -52


def test_a_plan_from_elsewhere_gets_potentials(problem, plan):
    solution = certify(problem, problem.candidate(plan=plan.dense()))
    assert isinstance(solution.value, DensePlan)
    assert solution.certified
    given = (plan.row_potential, plan.column_potential)
    scaled = plan.dense() * problem.source.sum()  # masses of the weights as given
    again = problem.candidate(plan=scaled, potentials=given)
    assert certify(problem, again).certified
    again = problem.value_from(again.pack())
    np.testing.assert_allclose(again @ np.ones(24), plan @ np.ones(24), rtol=1e-12)


def test_a_poor_plan_is_told_apart(problem):
    source = problem.source / problem.source.sum()
    product = np.outer(source, problem.target / problem.target.sum())
    claims = decided(certify(problem, problem.candidate(plan=product)))
    assert claims["marginals"].holds
    assert not claims["entropic_enclosure"].holds


def test_bad_candidates_are_named(problem):
    with pytest.raises(InvalidArgument, match="neither"):
        problem.candidate()
    with pytest.raises(InvalidArgument, match=r"plan.*shape \(24, 24\)"):
        problem.candidate(plan=np.ones((2, 2)))
    with pytest.raises(InvalidArgument, match=r"potentials\[1\]"):
        problem.candidate(potentials=(np.zeros(24), np.zeros(3)))
    with pytest.raises(InvalidArgument, match="a pair"):
        problem.candidate(potentials=3)
