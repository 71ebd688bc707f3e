import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.rules.transport_assignment import (
    assignment_bound,
    outside_share,
    vertex_gap,
)
from lemmata_checker.rules.transport_entries import entries_within
from lemmata_checker.rules.transport_entropic import plan_of
from lemmata_checker.rules.transport_plan import setting
from lemmata_checker.rules.transport_repair import repair
from lemmata_checker.rules.transport_support import Support, feasible

from . import exact, instances

GAP, MARGINALS = "transport.optimality_gap/1", "transport.marginals/1"
SPARSITY = "transport.hessian_sparsity/1"


def supported_cost(packed, case):
    """The cost of the plan repaired on its own support, exactly, or None."""
    at = setting(case)
    i, j, mass = entries_within(case, at)
    sides = [side._replace(size=side.kept.size) for side in (at.source, at.target)]
    support = Support(i, j, mass, *sides)
    if not mass.size or feasible(support):
        return None
    costs, total = exact.cost(packed), exact.ball(0.0)
    for a, b, whole in zip(i, j, support.mass, strict=True):
        price = costs[at.source.kept[a]][at.target.kept[b]]
        total += price * exact.ball(Fraction(whole, support.unit))
    return total


@pytest.mark.parametrize("huge", [1e12, 1e32, 1e100])
@pytest.mark.parametrize("dense", [False, True])
def test_a_huge_cost_that_is_not_used_spoils_nothing(huge, dense):
    """A forbidden pair written as a huge cost, as in POT's issue 229."""
    cost = np.array([[1.0, 4.0, huge], [2.0, 3.0, huge], [huge, huge, 5.0]])
    weights = np.array([0.25, 0.25, 0.5])
    x, y = np.array([0.0, 0.0, 5.0]), np.array([1.0, 3.0, 0.0])
    for plan, optimal in ((np.diag(weights), True), (None, False)):
        if plan is None:
            plan = np.array([[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0.5]])
        packed = instances.optimal(cost, weights, weights)
        stated = float(np.sum(plan * cost))
        value = instances.coupling(plan, x, y, stated)
        if dense:
            value = {
                "plan": plan,
                "row_potential": x,
                "column_potential": y,
                "cost": np.array(stated),
            }
        found = decide(GAP, 1e-12 * 3.5, instances.case(packed, value))
        assert found.holds is optimal, found


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4), st.integers(-8, 8)
)
@settings(deadline=None, max_examples=100)
def test_the_gap_is_true_in_exact_arithmetic(seed, n, m, scale):
    rng = np.random.default_rng(seed)
    cost = 10.0**scale * (rng.random((n, m)) + rng.choice([0.0, 1e3]))
    source, target = rng.random(n), rng.random(m)
    source[1:] *= rng.random(n - 1) > 0.3
    plan = instances.northwest(source, target) * (1 + rng.choice([0, 1e-3, 1e-14]))
    x, y = 10.0**scale * rng.normal(size=n), 10.0**scale * rng.normal(size=m)
    packed = instances.optimal(cost, source, target)
    stated = float(np.sum(plan * cost))
    for value in (
        instances.coupling(plan, x, y, stated),
        {
            "plan": plan,
            "row_potential": x,
            "column_potential": y,
            "cost": np.array(stated),
        },
    ):
        case = instances.case(packed, value)
        found, marginals = decide(GAP, 1e9, case), decide(MARGINALS, 1.0, case)
        with exact.precision():
            violation = exact.violation(packed, value)
            assert violation <= exact.ball(marginals.measured)
            assert exact.ball(marginals.measured) <= violation * 1.0001 + 1e-14
            fix = repair(setting(case).source, setting(case).target, plan_of(case))
            theta = np.zeros(n)
            theta[setting(case).source.kept] = fix.theta
            matrix = exact.repaired(packed, exact.plan(packed, value), theta, fix.phi)
            upper = exact.primal(packed, matrix, 0.0)
            on_support = supported_cost(packed, case)
            if on_support is not None and on_support < upper:
                upper = on_support
            lower = exact.transform(packed, value)
            measured = exact.ball(found.measured)
            assert not measured < upper - lower
            assert not measured < exact.ball(stated) - lower
            # and it is no loose bound: the plan is repaired at its price
            price = violation + 1e-14
            extent = 6e3 * 10.0**scale
            assert measured <= abs(upper - lower) + price * extent


def test_vertices_with_their_duals_have_no_gap():
    rng = np.random.default_rng(0)
    for n in range(1, 6):
        cost, weights = rng.random((n, n)), np.ones(n)
        orders = itertools.permutations(range(n))
        best = min(orders, key=lambda s: sum(cost[np.arange(n), s]))
        permutation = np.array(best)
        plan = np.zeros((n, n))
        plan[np.arange(n), permutation] = 1 / n
        y = instances.assignment_dual(cost, permutation)
        x = (cost - y).min(axis=1)
        value = instances.coupling(plan, x, y, np.sum(plan * cost))
        case = instances.case(instances.optimal(cost, weights, weights), value)
        assert decide(GAP, 1e-14, case).holds  # some roundings of figures near 1
        assert decide(MARGINALS, 1e-14, case).holds


def test_a_wrong_vertex_or_entry_is_rejected():
    cost, weights = np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones(2)
    packed = instances.optimal(cost, weights, weights)
    zeros = np.zeros(2)
    good = instances.coupling(np.eye(2) / 2, zeros, zeros, 0.0)
    assert decide(GAP, 0.5, instances.case(packed, good)).holds
    swapped = good | {"columns": good["columns"][::-1].copy()}
    assert decide(GAP, 0.5, instances.case(packed, swapped)).measured >= 1.0
    lighter = good | {"mass": good["mass"] * np.array([1.0, 0.5])}
    found = decide(GAP, 1e-9, instances.case(packed, lighter))
    assert found.measured >= 0.0  # repaired at a price, which may be optimal
    assert decide(MARGINALS, 0.4, instances.case(packed, lighter)).measured >= 0.5


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("rows", np.array([0, 5])),
        ("rows", np.array([-1, 0])),
        ("rows", np.array([0.0, 1.0])),
        ("columns", np.array([0])),
        ("mass", np.array([0.5, -0.5])),
        ("mass", np.array([0.5, np.nan])),
        ("cost", np.array([0.0])),
        ("column_potential", np.zeros(3)),
    ],
)
def test_bad_couplings_do_not_hold(name, bad):
    cost, weights = np.eye(2)[::-1].copy(), np.ones(2)
    value = instances.coupling(np.eye(2) / 2, np.zeros(2), np.zeros(2), 0.0)
    case = instances.case(
        instances.optimal(cost, weights, weights), value | {name: bad}
    )
    found = decide(GAP, 1e9, case)
    assert not found.holds
    assert "cannot be judged" in found.detail


def sparsity(cost, epsilon, permutation, dual, sweeps=5, newton=10):
    weights = np.full(len(cost), 0.25)
    packed = instances.entropic(cost, weights, weights, epsilon)
    value = instances.sinkhorn(cost, weights, weights, epsilon, sweeps, newton)
    witness = {"permutation": np.array(permutation), "column_dual": dual}
    return instances.case(packed, value, witness=witness)


def ranked(cost: np.ndarray) -> list[tuple[Fraction, tuple[int, ...]]]:
    """All permutations by exact cost (entries 1/n)."""
    n = len(cost)
    costs = [[Fraction(c) for c in row] for row in cost.tolist()]
    return sorted(
        (sum((costs[i][s[i]] for i in range(n)), Fraction(0)) / n, s)
        for s in itertools.permutations(range(n))
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_hessian_sparsity_against_all_permutations(n, seed):
    cost = np.random.default_rng(seed).random((n, n))
    (best, s), (second, _), *_ = ranked(cost)
    gap = second - best
    epsilon = float(gap) / (5 * (1 + 2 * math.log(n)))
    dual = instances.assignment_dual(cost, np.array(s))
    case = sparsity(cost, epsilon, s, dual)
    found = decide(SPARSITY, 0.9, case)
    assert found.holds
    assert Fraction(found.figures["vertex_gap"]) <= gap
    assert found.figures["vertex_gap"] >= float(gap) * (1 - 1e-9)  # n roundings
    with exact.precision():
        plan = exact.plan(case.problem, case.value)
        mass = sum(exact.sums(plan)[0], exact.ball(0))
        inside = sum((plan[i][s[i]] for i in range(n)), exact.ball(0))
        share = (mass - inside) / mass
        assert share <= exact.ball(found.figures["outside"])
        assert exact.ball(found.figures["outside"]) <= share + 1e-13
        decay = (-exact.ball(gap) / exact.ball(epsilon)).exp()
        assert 3 * n * n * decay <= exact.ball(found.figures["bound"])
        # Weed's bound itself, for the optimal plan: e n^2 exp(-Delta/epsilon)
        assert share <= 2.71828 * n * n * decay + 1e-12
    assert not decide(SPARSITY, found.figures["bound"] * 0.99, case).holds


@pytest.mark.parametrize("sweeps", [1, 2, 5, 20])
def test_the_theorem_holds_away_from_convergence(sweeps):
    rng = np.random.default_rng(7)
    for _ in range(5):
        cost = rng.random((4, 4))
        (best, s), (second, _), *_ = ranked(cost)
        epsilon = float(second - best) / (5 * (1 + 2 * math.log(4)))
        dual = instances.assignment_dual(cost, np.array(s))
        case = sparsity(cost, epsilon, s, dual, sweeps, newton=0)
        bound, _ = assignment_bound(case)
        assert outside_share(case) <= bound


def test_wrong_permutations_duals_and_ties_give_no_bound():
    cost = np.random.default_rng(3).random((5, 5))
    (best, s), (second, other), *_ = ranked(cost)
    epsilon = float(second - best) / 30
    dual = instances.assignment_dual(cost, np.array(s))
    assert decide(SPARSITY, 0.9, sparsity(cost, epsilon, s, dual)).holds
    for wrong in (other, (0, 0, 1, 2, 3), tuple(range(1, 6))):
        assert not decide(SPARSITY, 0.9, sparsity(cost, epsilon, wrong, dual)).holds
    tied = np.zeros((3, 3))
    case = sparsity(tied, 0.01, (0, 1, 2), np.zeros(3))
    assert not decide(SPARSITY, 0.9, case).holds
    short = sparsity(cost, epsilon, s, dual[:4])
    assert "cannot be judged" in decide(SPARSITY, 0.9, short).detail


@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.floats(0, 1))
@settings(deadline=None)
def test_the_vertex_gap_is_a_lower_bound_whatever_the_dual(seed, n, noise):
    rng = np.random.default_rng(seed)
    cost = rng.integers(0, 4, (n, n)) + 1e-9 * rng.random((n, n))
    ordered = ranked(cost)
    s = np.array(ordered[rng.integers(0, 2)][1])
    others = [value for value, order in ordered if order != tuple(s)]
    value = next(value for value, order in ordered if order == tuple(s))
    dual = instances.assignment_dual(cost, s) + noise * rng.normal(size=n)
    weights = np.ones(n)
    packed = instances.optimal(cost, weights, weights)
    at = setting(
        instances.case(packed, {"row_potential": dual, "column_potential": dual})
    )
    found = vertex_gap(at, s, dual)
    assert Fraction(found) <= min(others) - value


def test_only_uniform_assignments_are_judged():
    cost, weights = np.eye(3), np.array([1.0, 2.0, 1.0])
    packed = instances.entropic(cost, weights, weights, 0.1)
    value = instances.sinkhorn(cost, weights, weights, 0.1)
    witness = {"permutation": np.array([0, 1, 2]), "column_dual": np.zeros(3)}
    case = instances.case(packed, value, witness=witness)
    assert "equal weights" in decide(SPARSITY, 0.9, case).detail
