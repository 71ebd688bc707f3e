"""Unregularised transport: exact solvers, duals, plans from elsewhere."""

import numpy as np
import pytest
import scipy.sparse
from scipy.optimize import linear_sum_assignment

from lemmata.core import InvalidArgument, InvalidProblem, TooLarge, certify, solve
from lemmata.transport import (
    LinearProgram,
    OptimalTransport,
    PointCost,
    SparseCoupling,
)
from lemmata.transport._candidates import support_duals

from .instances import assignment, decided, weighted


def test_assignment_is_certified():
    cost = assignment(40)
    solution = solve(OptimalTransport(cost), LinearProgram())
    assert solution.certified
    optimum = cost[linear_sum_assignment(cost)].sum() / 40
    assert solution.value.cost == pytest.approx(optimum, rel=1e-14)
    value = solution.value
    gap = cost - value.row_potential[:, None] - value.column_potential
    assert gap.min() >= -1e-15


@pytest.mark.parametrize("seed", range(3))
def test_weights_are_certified(seed):
    cost, source, target = weighted(24, 17, seed)
    problem = OptimalTransport(cost, source, target)
    solution = solve(problem)
    assert solution.certified
    value = solution.value
    assert isinstance(value, SparseCoupling)
    assert len(value.mass) <= 24 + 17 - 1  # a vertex
    assert value.sparse().shape == (24, 17)
    v = np.random.default_rng(0).random(17)
    np.testing.assert_allclose(value @ v, value.dense() @ v)
    np.testing.assert_allclose(value.T @ np.ones(24), value.marginals()[1])
    again = problem.value_from(value.pack())
    assert certify(problem, again).certified
    rebuilt = OptimalTransport.unpack(*problem.pack()[1:])
    assert rebuilt.pack().json == problem.pack().json


def test_integer_ties_are_certified():
    cost = np.random.default_rng(0).integers(0, 4, (20, 20))
    assert solve(OptimalTransport(cost)).certified


def test_points():
    rng = np.random.default_rng(0)
    cost = PointCost(rng.random((12, 2)), rng.random((9, 2)))
    assert solve(OptimalTransport(cost)).certified


@pytest.mark.parametrize("zeros", [True, False])
def test_plans_of_pot_come_out_certified(zeros):
    ot = pytest.importorskip("ot")
    cost, source, target = weighted(24, 17, 1, zeros=zeros)
    plan = ot.emd(source / source.sum(), target / target.sum(), cost)
    problem = OptimalTransport(cost, source, target)
    assert certify(problem, problem.candidate(plan=plan)).certified
    sparse = scipy.sparse.csr_array(plan * source.sum())
    assert certify(problem, problem.candidate(plan=sparse)).certified


def test_a_degenerate_support_gets_duals():
    # A permutation has n entries, a tree would have 2 n - 1.
    cost = assignment(30)
    permutation = linear_sum_assignment(cost)
    u, v = support_duals(cost, *permutation)
    gap = cost - u[:, None] - v
    assert gap.min() >= -1e-15
    assert np.abs(gap[permutation]).max() <= 1e-15


def test_a_poor_plan_fails():
    cost, source, target = weighted(24, 17)
    problem = OptimalTransport(cost, source, target)
    product = np.outer(source, target) / (source.sum() * target.sum())
    claims = decided(certify(problem, problem.candidate(plan=product)))
    assert claims["marginals"].holds
    assert not claims["optimality_gap"].holds
    nearly = np.eye(20)[::-1] / 20
    claims = decided(
        certify(p := OptimalTransport(assignment(20)), p.candidate(plan=nearly))
    )
    assert not claims["optimality_gap"].holds


def test_bad_input_is_named():
    with pytest.raises(InvalidProblem, match="OptimalTransport.cost"):
        OptimalTransport(np.full((2, 2), np.nan))
    problem = OptimalTransport(np.ones((2, 2)))
    with pytest.raises(InvalidArgument, match=r"candidate\.plan"):
        problem.candidate()
    points = np.zeros((3000, 1))
    with pytest.raises(TooLarge, match="EntropicTransport"):
        solve(OptimalTransport(PointCost(points, points)))


@pytest.mark.parametrize("huge", [1e16, 1e32])
def test_huge_costs_for_forbidden_pairs(huge):
    """Such costs must neither drown the others nor make the promise worthless."""
    rng = np.random.default_rng(3)
    n = 6
    cost = 10.0 ** rng.uniform(-3, 3, size=(n, n))
    inside = cost[2, 4]
    cost[2, :], cost[:, 4] = huge, huge
    cost[2, 4] = inside
    weights = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 3.0]) / 8
    columns = np.roll(weights, 1)
    problem = OptimalTransport(cost, weights, columns, gap_tol=1e-6)
    solution = solve(problem)
    assert solution.certified
    # Without the row and the column that are joined by one pair, nothing is huge.
    rows, others = np.delete(np.arange(n), 2), np.delete(np.arange(n), 4)
    inner = OptimalTransport(cost[np.ix_(rows, others)], weights[rows], columns[others])
    rest = float(solve(inner).value.cost) * (1 - 1 / 8)
    # Two vertices of one optimal face: rounding of a sum of costs up to 1e3.
    assert float(solution.value.cost) == pytest.approx(rest + inside / 8, rel=1e-9)
    forbidden = np.outer(weights, columns)  # mass where the cost is huge
    judged = certify(problem, problem.candidate(plan=forbidden))
    assert not judged.certified
