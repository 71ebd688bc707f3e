"""Sinkhorn-Newton: convergence, sparsity rules, annealing, claims, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from lemmata.core import InvalidInput, InvalidMethod, InvalidProblem, solve
from lemmata.transport import (
    DenseNewton,
    EntropicTransport,
    FixedSparsity,
    Geometric,
    PointCost,
    Sinkhorn,
    SinkhornNewton,
    TailMass,
)
from lemmata.transport._assignment import solve_assignment
from lemmata.transport._direction import Tangent, krylov_direction, solve_schur
from lemmata.transport._sparsify import padded_rows

from .instances import assignment, decided, grid_blobs, reference, weighted, withheld

# Few shapes and options, since each pair of them is compiled once.
DEFAULT, N = SinkhornNewton(), 24
# By default only sides above 320 are stored sparse.
SPARSE = SinkhornNewton(widest=32, atol=1e-12)


@pytest.fixture(scope="module")
def solved():
    return solve(EntropicTransport(assignment(64), epsilon=1 / 200), SPARSE)


def test_random_assignment_is_certified(solved):
    assert solved.result.name == "converged"
    claims = decided(solved)
    for name in ("marginals", "entropic_enclosure", "transport_enclosure", "ascent"):
        assert claims[name].holds, name
    assert claims["entropic_enclosure"].measured <= 1e-9
    trace = solved.stats.trace
    assert trace["newton_steps"][-1] <= 12
    assert trace["kept_per_row"].max() < 32
    assert not trace["dense"].any()


def test_converges_superlinearly(solved):
    claim = decided(solved)["superlinear"]
    assert claim.holds
    assert claim.measured <= 1e-2


def test_potentials_agree_with_sinkhorn_in_numpy(solved):
    problem = solved.problem
    cost = np.asarray(problem.cost.matrix())
    x, y = reference(cost, problem.source, problem.target, 1 / 200, sweeps=3000)
    # The reference's own marginal error, about 1e-10, times its condition number.
    np.testing.assert_allclose(solved.value.row_potential, x, atol=1e-7)
    np.testing.assert_allclose(solved.value.column_potential, y, atol=1e-7)


def test_zero_weights_are_legal():
    cost, source, target = weighted(N, N)
    keep_rows, keep_columns = source > 0, target > 0
    inner = cost[np.ix_(keep_rows, keep_columns)]
    solution = solve(EntropicTransport(cost, source, target, epsilon=0.02), DEFAULT)
    assert solution.certified
    value = solution.value
    x, _ = reference(inner, source[keep_rows], target[keep_columns], 0.02)
    found = value.row_potential[keep_rows]
    np.testing.assert_allclose(found - found[0], x - x[0], atol=1e-8)
    assert np.all(np.isfinite(value.row_potential))
    assert np.all(np.isfinite(value.column_potential))
    assert not value.rows(3, 4).any()
    gap = cost - value.row_potential[:, None] - value.column_potential
    # The c-transform: feasible against all atoms with weight, and tight.
    assert np.min(gap[3, keep_columns]) == pytest.approx(0, abs=1e-15)
    assert np.min(gap[keep_rows, 5]) == pytest.approx(0, abs=1e-15)


def test_dense_newton_agrees(solved):
    again = solve(solved.problem, DenseNewton())
    assert again.certified
    np.testing.assert_allclose(
        again.value.row_potential, solved.value.row_potential, atol=1e-9
    )


def test_warm_start_needs_no_sweeps_to_speak_of(solved):
    nearby = EntropicTransport(solved.problem.cost, epsilon=1 / 210)
    again = solve(nearby, SPARSE, start=solved)
    trace = again.stats.trace
    assert trace["newton_steps"][-1] <= 6
    assert again.stats.steps < solved.stats.steps


def test_integer_costs_need_annealing():
    cost, source, target = grid_blobs((6, 4))
    problem = EntropicTransport(cost, source, target, epsilon=1 / 1200)
    plain = solve(problem, SinkhornNewton(annealing=None), throw=False)
    assert plain.result.name == "stalled"
    assert "annealing" in plain.result.sentence
    assert not decided(plain)["entropic_enclosure"].holds
    good = solve(problem, DEFAULT)
    assert good.result.name == "converged"
    assert decided(good)["ascent"].holds
    assert good.stats.trace["epsilon"].max() > 1 / 1200


@pytest.mark.slow  # compiles another schedule
def test_annealing_from_the_start():
    cost, source, target = grid_blobs((6, 4))
    problem = EntropicTransport(cost, source, target, epsilon=1 / 5000)
    solution = solve(problem, SinkhornNewton(annealing=Geometric()))
    assert solution.stats.trace["fallbacks"][-1] == 0
    assert np.all(np.diff(solution.stats.trace["epsilon"]) <= 0)


def test_huge_exponents_stay_finite():
    problem = EntropicTransport(assignment(N, seed=2), epsilon=1e-5)
    solution = solve(problem, DEFAULT, throw=False)
    packed = solution.value.pack()
    assert all(np.all(np.isfinite(array)) for array in packed.values())
    assert decided(solution)["marginals"].holds


def test_dense_plans_are_said_to_be_dense():
    problem = EntropicTransport(assignment(N), epsilon=0.03)
    solution = solve(problem, DEFAULT)
    assert solution.stats.trace["dense"].any()
    assert "DenseNewton" in solution.result.sentence


def test_enclosure_contains_the_assignment_value():
    for seed in range(20):
        cost = assignment(N, seed)
        solution = solve(EntropicTransport(cost, epsilon=4e-3), DEFAULT)
        optimum = cost[linear_sum_assignment(cost)].sum() / N
        figures = decided(solution)["transport_enclosure"].figures
        assert figures["lower"] <= optimum <= figures["upper"]


@pytest.mark.parametrize(
    "n", [N, *(pytest.param(n, marks=pytest.mark.slow) for n in (6, 8, 10))]
)
def test_sparsity_theorem_is_not_vacuous(n):
    for seed in range(7):
        cost = assignment(n, seed)
        gap = solve_assignment(cost).gap
        epsilon = gap / (5 * (1 + 2 * np.log(n)))
        solution = solve(EntropicTransport(cost, epsilon=epsilon), DEFAULT)
        claim = decided(solution)["hessian_sparsity"]
        assert claim.holds
        assert claim.promised < 1


def test_sparsity_theorem_is_withheld_where_vacuous(solved):
    assert "no bound" in withheld(solved)["hessian_sparsity"]


def test_vertex_gap_agrees_with_brute_force():
    from itertools import permutations

    for seed in range(5):
        cost = assignment(5, seed)
        values = sorted(
            cost[np.arange(5), list(p)].sum() for p in permutations(range(5))
        )
        best = solve_assignment(cost)
        assert best.gap * 5 == pytest.approx(values[1] - values[0], abs=1e-14)
        reduced = cost - best.row_dual[:, None] - best.column_dual
        assert reduced.min() >= -1e-15
        assert abs(reduced[np.arange(5), best.permutation]).max() <= 1e-15


def test_padded_rows_hold_what_the_threshold_keeps():
    rng = np.random.default_rng(0)
    matrix = rng.random((13, 70)) ** 8
    with jax.enable_x64(True):
        found = padded_rows(jnp.asarray(matrix), jnp.asarray(0.2), 32)
        index, value = np.asarray(found.place), np.asarray(found.value)
        vector = rng.random(70)
        product = np.asarray(found @ jnp.asarray(vector))
    dense = np.zeros_like(matrix)
    np.add.at(dense, (np.arange(13)[:, None], index), value)
    kept = np.where(matrix >= 0.2, matrix, 0.0)
    np.testing.assert_array_equal(dense, kept)
    np.testing.assert_allclose(product, kept @ vector, rtol=1e-14)


def test_tail_mass_drops_what_it_may_and_not_less():
    rng = np.random.default_rng(0)
    plan = rng.random((40, 30)) ** 20
    plan /= plan.sum()
    with jax.enable_x64(True):
        for error, slow in ((1e-1, 0), (1e-3, 0), (1e-3, 2)):
            rho = float(
                TailMass().threshold(jnp.asarray(plan), jnp.asarray(error), slow)
            )
            allowed = min(1e-2, 0.1 * error) * 10.0**-slow
            assert plan[plan < rho].sum() <= allowed
            assert plan[plan < 2 * rho].sum() > allowed  # to a factor sqrt 2
        rho = FixedSparsity(0.1).threshold(jnp.asarray(plan), None, 0)
        assert np.sum(plan >= float(rho)) == 120


def test_directions_solve_the_newton_system():
    rng = np.random.default_rng(0)
    plan = rng.random((20, 15)) ** 6
    plan /= plan.sum()
    rows, columns = plan.sum(axis=1), plan.sum(axis=0)
    first, second = rng.normal(size=20), rng.normal(size=15)
    second += (first.sum() - second.sum()) / 15
    system = np.block([[np.diag(rows), plan], [plan.T, np.diag(columns)]])
    expected = np.linalg.lstsq(system, np.concatenate([first, second]), rcond=1e-13)[0]

    def gauged(dx, dy):
        z = np.concatenate([np.asarray(dx), np.asarray(dy)])
        null = np.concatenate([np.ones(20), -np.ones(15)])
        return z - null * (z @ null) / 35

    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in (plan, rows, columns, first, second)]
        direct = gauged(*solve_schur(*arrays))
        tangent = Tangent(*arrays, jnp.asarray(0))
        keep_all = FixedSparsity(1.0)
        results = [
            krylov_direction(tangent, keep_all, width, None) for width in (1, 32)
        ]
    # Condition number about 1e4.
    np.testing.assert_allclose(direct, expected, rtol=1e-8, atol=1e-8)
    for found in results:
        error = np.abs(gauged(found.dx, found.dy) - expected).max()
        # rtol of the inner solve is 1e-2 at this large a gradient.
        assert error <= 2e-1 * np.abs(expected).max()
    np.testing.assert_allclose(results[0].dx, results[1].dx, rtol=1e-6)


COST = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cost": np.full((2, 3), np.nan)}, r"cost: expected finite entries .*6 that"),
        ({"cost": np.where(COST > 4, np.inf, COST)}, r"first at \(1, 2\)"),
        ({"cost": np.ones(3)}, r"cost: expected shape \(n, m\)"),
        ({"cost": np.ones((0, 3))}, "cost: expected shape"),
        ({"cost": COST + 1j}, "cost: expected an array of real numbers, got complex"),
        ({"source": [1.0, -1.0]}, r"source: expected weights >= 0.*\[1\]"),
        ({"source": [np.nan, 1.0]}, "source: expected finite"),
        ({"source": [0.0, 0.0]}, "source: expected a positive sum"),
        ({"source": [1.0, 1.0, 1.0]}, r"source: expected shape \(2,\)"),
        ({"source": [1j, 1.0]}, "source: expected an array of real numbers"),
        ({"target": [1.0, 1.0, 1.0]}, r"sum\(source\) = 2.0.*got sum 3.0"),
        ({"epsilon": 0.0}, "epsilon: expected finite, > 0"),
        ({"epsilon": -1.0}, "epsilon: expected finite, > 0"),
        ({"epsilon": np.nan}, "epsilon: expected finite, > 0"),
        ({"epsilon": 1e-9}, r"eta = 1/epsilon at most 2e\+07"),
        ({"gap_tol": 0.0}, "gap_tol: expected finite, > 0"),
        ({"marginal_tol": -1.0}, "marginal_tol: expected finite, > 0"),
        ({"cost": PointCost(np.ones((2, 3)), np.ones((3, 2)))}, "target_points"),
        ({"cost": PointCost(np.ones((2, 3)), np.ones((3, 3)), scale=0.0)}, "scale"),
    ],
)
def test_bad_problems_are_named(change, message):
    good = {"cost": COST, "source": [1.0, 1.0], "target": [0.5, 0.5, 1.0]}
    with pytest.raises(InvalidProblem, match=f"EntropicTransport.*{message}"):
        EntropicTransport(**(good | {"epsilon": 0.1} | change))


def test_integers_are_converted_and_uniform_is_the_default():
    problem = EntropicTransport(np.ones((2, 3), dtype=int), epsilon=1)
    assert problem.cost.matrix().dtype == np.float64
    np.testing.assert_array_equal(problem.source, [3.0, 3.0])
    np.testing.assert_array_equal(problem.target, [2.0, 2.0, 2.0])
    again = EntropicTransport.unpack(*problem.pack()[1:])
    assert again.pack().json == problem.pack().json


def test_bad_options_are_named():
    for bad in ({"n_warm": 0}, {"n_newton": 0}, {"atol": 0.0}):
        with pytest.raises(InvalidMethod, match=next(iter(bad))):
            SinkhornNewton(**bad)


def test_too_large_a_plan_is_refused_by_name():
    points = np.zeros((9000, 1))
    problem = EntropicTransport(PointCost(points, points), epsilon=1.0)
    assert isinstance(problem.default_method(), Sinkhorn)
    with pytest.raises(InvalidInput, match="use Sinkhorn"):
        solve(problem, SinkhornNewton())


@pytest.mark.slow  # compiles another rule
def test_fixed_share_says_that_it_is_linear():
    problem = EntropicTransport(assignment(64), epsilon=1 / 200)
    method = SinkhornNewton(sparsify=FixedSparsity(3 / 64), interleave=False, widest=32)
    solution = solve(problem, method)
    assert "FixedSparsity" in withheld(solution)["superlinear"]
    assert solution.stats.trace["newton_steps"][-1] >= 10  # TailMass takes 5


@pytest.mark.slow  # five solves at n = 500
def test_paper_instance():
    for seed in range(5):
        problem = EntropicTransport(assignment(500, seed), epsilon=1 / 1200)
        solution = solve(problem)
        assert solution.stats.trace["newton_steps"][-1] <= 12
        assert solution.stats.trace["error"][-1] <= 1e-10
        assert decided(solution)["entropic_enclosure"].measured <= 1e-9
        assert solution.certified


@pytest.mark.slow
def test_paper_instance_with_the_papers_share():
    problem = EntropicTransport(assignment(500), epsilon=1 / 1200)
    method = SinkhornNewton(sparsify=FixedSparsity(2 / 500), interleave=False)
    solution = solve(problem, method)
    steps = solution.stats.trace["newton_steps"]
    errors = solution.stats.trace["error"][np.diff(steps, prepend=0) > 0]
    ratios = errors[1:] / errors[:-1]
    assert np.all((ratios[-20:] > 0.6) & (ratios[-20:] < 0.8))
