from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules.transport_semidual import conjugates, sparse_problem
from lemmata_checker.rules.transport_support import Support, feasible

from . import exact, instances
from .exact_sparse import objective, semi_dual, with_figures

NAMES = (
    "cardinality sparse_marginals selection_optimality sparse_gap sparse_lower_bound"
)
CARDINALITY, MARGINALS, SELECTION, GAP, LOWER = (
    f"transport.{name}/1" for name in NAMES.split()
)
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 5), st.integers(1, 3), st.integers(-6, 6), st.booleans())
@settings(deadline=None, max_examples=150)
def test_the_semi_dual_is_enclosed(seed, m, n, scale, ties):
    rng = np.random.default_rng(seed)
    size = 10.0**scale
    cost = size * (rng.integers(0, 3, (m, n)) if ties else rng.random((m, n)))
    if rng.random() < 0.5:
        cost[rng.integers(m), rng.integers(n)] = np.inf if m > 1 else 0.0
    alpha = size * (rng.integers(0, 2, m) if ties else rng.normal(size=m))
    gamma = 10.0 ** rng.integers(-6, 4)
    cap = int(rng.integers(1, m + 1))
    packed = instances.sparse(cost, rng.random(m), rng.random(n), gamma, cap)
    terms = conjugates(sparse_problem(instances.case(packed, {})), alpha, cap)
    value = semi_dual(packed, alpha)
    assert terms.linear - Fraction(terms.upper) <= value
    assert value <= terms.linear - Fraction(terms.lower)
    # some tens of roundings of terms of the size of s and gamma b
    finite = np.where(np.isinf(cost), 0, cost)
    width = 1e-14 * (np.abs(alpha[:, None] - finite).max() + gamma)
    assert terms.upper - terms.lower <= width


def solved(seed: int, m: int, n: int, cap: int, gamma: float, axis: str = "columns"):
    """A problem, a potential near the optimum, its selection, a repaired-ish plan."""
    rng = np.random.default_rng(seed)
    cost, source, target = rng.random((m, n)), rng.random(m) + 0.5, rng.random(n) + 0.5
    a, b = source / source.sum(), target / target.sum()
    alpha = instances.ascend(cost, a, b, gamma, cap, 400)
    selection = instances.select(cost, alpha, b, gamma, cap)
    beta = np.zeros(n)
    if axis == "columns":
        packed = instances.sparse(cost, source, target, gamma, cap)
        value = instances.sparse_value(selection, selection, alpha, beta)
    else:
        packed = instances.sparse(cost.T.copy(), target, source, gamma, cap, "rows")
        value = instances.sparse_value(selection.T, selection.T, beta, alpha)
    return packed, with_figures(packed, value), alpha, selection


@pytest.mark.parametrize("cap", [1, 2, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_of_a_selection_are_true(seed, cap):
    packed, value, alpha, selection = solved(seed, 4, 3, cap, 0.3)
    case = instances.case(packed, value, parameters={"plan": "selection"})
    dual = semi_dual(packed, alpha)
    found = decide(LOWER, -10.0, case)
    assert found.holds
    assert Fraction(found.measured) <= dual
    assert dual - Fraction(found.measured) <= Fraction(1e-14)
    assert decide(CARDINALITY, cap, case).holds
    masses = {
        (i, j): Fraction(selection[i, j]) for i, j in np.argwhere(selection).tolist()
    }
    rows = [sum(masses.get((i, j), Fraction(0)) for j in range(3)) for i in range(4)]
    a = exact.shares(packed.arrays["source"])
    error = sum(abs(p - q) for p, q in zip(rows, a, strict=True))
    marginals = decide(MARGINALS, 1.0, case)
    assert error <= Fraction(marginals.measured) <= error + Fraction(1e-14)
    # own sums of rows: <alpha, T 1> - sum_j O_j = D + <alpha, T 1 - a>
    own = dual + sum(
        Fraction(v) * (p - q) for v, p, q in zip(alpha.tolist(), rows, a, strict=True)
    )
    optimality = decide(SELECTION, 1e-10, case)
    assert optimality.holds
    difference = abs(objective(packed, masses) - own)
    assert difference <= Fraction(optimality.measured)
    assert Fraction(optimality.measured) <= difference + Fraction(1e-14)


@pytest.mark.parametrize("seed", range(4))
def test_the_gap_is_that_of_an_exact_plan(seed):
    packed, value, alpha, selection = solved(seed, 4, 3, 4, 1.0)
    found = decide(GAP, 1e-6, instances.case(packed, value))
    assert found.holds  # without a cap the semi-dual has no gap
    case = instances.case(packed, value)
    problem = sparse_problem(case)
    rows, columns = value["rows"], value["columns"]
    support = Support(rows, columns, value["mass"], problem.free, problem.capped)
    assert feasible(support) == ""
    plan = {
        (i, j): Fraction(mass, support.unit)
        for i, j, mass in zip(
            rows.tolist(), columns.tolist(), support.mass, strict=True
        )
    }
    gap = objective(packed, plan) - semi_dual(packed, alpha)
    assert gap <= Fraction(found.measured) <= gap + Fraction(1e-14)
    assert selection.shape == (4, 3)


@given(seeds, st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_no_plan_within_the_cap_is_below_the_lower_bound(seed, m, n):
    rng = np.random.default_rng(seed)
    units = rng.integers(1, 4, m), rng.integers(1, 4, n)
    units[0][0] += max(0, units[1].sum() - units[0].sum())
    units[1][0] += max(0, units[0].sum() - units[1].sum())
    plan = instances.northwest(*(u.astype(float) for u in units))
    order = rng.permutation(m)
    masses, sums = {}, [u.astype(object) for u in units]
    total = Fraction(int(sums[0].sum()))
    for i in range(m):
        for j in range(n):
            moved = min(sums[0][i], sums[1][j])
            sums[0][i] -= moved
            sums[1][j] -= moved
            if moved:
                masses[order[i], j] = Fraction(int(moved)) / total
    cap = max(sum((i, j) in masses for i in range(m)) for j in range(n))
    source = np.empty(m)
    source[order] = units[0]
    cost, alpha = rng.random((m, n)), rng.normal(size=m)
    gamma = 10.0 ** rng.integers(-3, 3)
    packed = instances.sparse(cost, source, units[1].astype(float), gamma, cap)
    value = instances.sparse_value(plan, plan, alpha, np.zeros(n))
    value = with_figures(packed, value)
    found = decide(LOWER, -1e9, instances.case(packed, value))
    assert Fraction(found.measured) <= objective(packed, masses)


@pytest.mark.parametrize("identifier", [CARDINALITY, MARGINALS, SELECTION, GAP, LOWER])
def test_rows_are_columns_transposed(identifier):
    one, other = (solved(5, 5, 3, 2, 0.2, axis) for axis in ("columns", "rows"))
    figures = [
        decide(identifier, 1.0, instances.case(*found[:2], parameters={}))
        for found in (one, other)
    ]
    if identifier in (CARDINALITY, LOWER):
        assert figures[0].measured == figures[1].measured
    else:  # sums in another order
        measured = [d.measured for d in figures]
        np.testing.assert_allclose(measured[0], measured[1], rtol=1e-12, atol=1e-15)


def test_an_entry_beyond_the_cap_is_rejected():
    packed, value, _, selection = solved(1, 5, 3, 2, 0.3)
    assert decide(CARDINALITY, 2, instances.case(packed, value)).holds
    column = int(np.argmax((selection > 0).sum(axis=0)))
    row = int(np.flatnonzero(selection[:, column] == 0)[0])
    moved = selection.copy()
    giver = int(np.argmax(selection[:, column]))
    moved[row, column] = moved[giver, column] / 2
    moved[giver, column] -= moved[row, column]
    forged = value | instances.entries(moved) | instances.entries(moved, "selection_")
    case = instances.case(packed, forged)
    assert decide(CARDINALITY, 2, case).measured == 3
    for identifier in (CARDINALITY, SELECTION, GAP):
        assert not decide(identifier, 2.0, case).holds
    # an exact zero that is written down is no plan in this form
    explicit = value | {"mass": value["mass"] * np.arange(value["mass"].size)}
    assert not decide(CARDINALITY, 2, instances.case(packed, explicit)).holds


def test_altered_selections_are_no_minimisers():
    packed, value, _, _ = solved(2, 5, 3, 3, 0.3)
    for name, change in (("alpha", 1e-3), ("selection_mass", 1e-5)):
        forged = dict(value)
        forged[name] = value[name].copy()
        forged[name][0] += change
        found = decide(SELECTION, 1e-10, instances.case(packed, forged))
        assert not found.holds


def test_forbidden_pairs_carry_nothing():
    cost = np.array([[0.0, np.inf], [1.0, 0.0]])
    weights, alpha = np.ones(2), np.zeros(2)
    packed = instances.sparse(cost, weights, weights, 1.0, 1)
    good = instances.sparse_value(np.eye(2) / 2, np.eye(2) / 2, alpha, alpha)
    good = with_figures(packed, good)
    case = instances.case(packed, good)
    assert decide(MARGINALS, 1e-12, case).holds
    assert decide(GAP, 1e-12, case).holds
    assert decide(SELECTION, 1e-12, case).holds
    swapped = np.eye(2)[::-1] / 2
    bad = instances.sparse_value(swapped, swapped, alpha, alpha)
    bad = with_figures(packed, bad)
    for identifier in (MARGINALS, GAP, SELECTION):
        assert not decide(identifier, 1e9, instances.case(packed, bad)).holds


@pytest.mark.parametrize(
    ("name", "change", "identifier"),
    [
        ("objective", 1e-6, GAP),
        ("dual_value", -1e-6, GAP),
        ("dual_value", 1e-6, LOWER),
    ],
)
def test_a_figure_that_is_stated_wrongly_is_found(name, change, identifier):
    cost, weights = np.ones((2, 2)) - np.eye(2), np.ones(2)
    packed = instances.sparse(cost, weights, weights, 1.0, 1)
    value = instances.sparse_value(np.eye(2) / 2, np.eye(2) / 2, *np.zeros((2, 2)))
    value = with_figures(packed, value)
    promised = 1e-9 if identifier == GAP else float(value["dual_value"]) - 1e-9
    assert decide(identifier, promised, instances.case(packed, value)).holds
    forged = value | {name: value[name] + change}
    assert not decide(identifier, promised, instances.case(packed, forged)).holds


def test_a_support_that_cannot_balance_has_no_bound():
    cost, source, target = np.zeros((2, 2)), np.array([1.0, 2.0]), np.ones(2)
    packed = instances.sparse(cost, source, target, 1.0, 1)
    value = instances.sparse_value(np.eye(2) / 2, np.eye(2) / 2, *np.zeros((2, 2)))
    value = with_figures(packed, value)
    found = decide(GAP, 1e9, instances.case(packed, value))
    assert not found.holds
    assert "different on its two sides" in found.detail


@pytest.mark.parametrize(
    "change",
    [
        {"cap": 0},
        {"cap": 3},
        {"cap": True},
        {"cap": 1.5},
        {"gamma": 0.0},
        {"gamma": "1"},
        {"axis": "both"},
        {"source": np.array([1.0, 0.0])},
        {"cost": np.full((2, 2), np.nan)},
        {"cost": np.full((2, 2), -np.inf)},
        {"cost": np.zeros((2, 2), np.float32)},
        {"mass": np.array([0.5, 0.0])},
        {"rows": np.array([1, 0])},
        {"rows": np.array([0, 2])},
        {"columns": np.array([0, 0])},
        {"alpha": np.array([np.nan, 0.0])},
    ],
)
def test_bad_input_does_not_hold(change):
    cost, weights = np.ones((2, 2)) - np.eye(2), np.ones(2)
    packed = instances.sparse(cost, weights, weights, 1.0, 1)
    value = instances.sparse_value(np.eye(2) / 2, np.eye(2) / 2, *np.zeros((2, 2)))
    value = with_figures(packed, value)
    assert decide(GAP, 0.5, instances.case(packed, value)).holds
    json = packed.json | {k: v for k, v in change.items() if k in packed.json}
    arrays = packed.arrays | {k: v for k, v in change.items() if k in packed.arrays}
    value = value | {k: v for k, v in change.items() if k in value}
    case = instances.case(Packed(packed.kind, json, arrays), value)
    assert not decide(GAP, 0.5, case).holds
