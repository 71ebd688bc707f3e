from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.rigor import U
from lemmata_checker.rules import transport_kernel
from lemmata_checker.rules.transport_cost import SHARE_ERROR, MatrixCost, marginal
from lemmata_checker.rules.transport_entropic import entropic_bounds, plan_of
from lemmata_checker.rules.transport_plan import setting
from lemmata_checker.rules.transport_reduced import sweep
from lemmata_checker.rules.transport_repair import repair, violation

from . import exact, instances

IDS = [
    f"transport.{name}/1"
    for name in ("marginals", "entropic_enclosure", "transport_enclosure")
]


@st.composite
def problems(draw):
    """Anything: tiny and huge epsilon, zero weights, offsets, points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, m = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    size = 10.0 ** draw(st.integers(-6, 6))
    offset = draw(st.sampled_from([0.0, 1.0, -1e4])) * size
    cost = size * rng.random((n, m)) + offset
    source, target = (rng.random(k) * 10.0 ** rng.integers(-6, 1, k) for k in (n, m))
    if draw(st.booleans()):
        source[1:] *= rng.random(n - 1) > 0.4
        target[1:] *= rng.random(m - 1) > 0.4
    epsilon = size * 10.0 ** draw(st.integers(-5, 2))
    packed = instances.entropic(cost, source, target, epsilon)
    if draw(st.booleans()):
        x, y = size * rng.normal(size=(n, 2)), size * rng.normal(size=(m, 2))
        name = draw(st.sampled_from(["sqeuclidean", "euclidean", "cityblock"]))
        packed = instances.from_points(packed, x, y, name, 0.5 / size)
        cost = 0.5 / size * instances.metric(x, y, name)
    sweeps = draw(st.sampled_from([1, 5, 200]))
    value = instances.sinkhorn(cost, source, target, epsilon, sweeps)
    if draw(st.booleans()):  # an altered answer is still judged truly
        name = draw(st.sampled_from(sorted(set(value) - {"row_remainder"})))
        factor = 1 - rng.random() * 10.0 ** rng.integers(-12, 0)
        value[name] = value[name] * factor
    if draw(st.booleans()):
        value = instances.dense(value, cost, epsilon)
        off = np.outer(source > 0, target > 0)
        if draw(st.booleans()):
            value["plan"] = value["plan"] * off
    return packed, value


@given(problems())
@settings(deadline=None, max_examples=150)
def test_every_figure_is_true_in_exact_arithmetic(drawn):
    figures_are_true(*drawn)


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_true_where_most_entries_are_left_out(seed, monkeypatch):
    """Small epsilon: three quarters of the kernel are below 1e-39 and not evaluated."""
    rng = np.random.default_rng(seed)
    n, m, epsilon = 10, 9, 2e-4
    cost, source, target = rng.random((n, m)), rng.random(n), rng.random(m)
    value = instances.sinkhorn(cost, source, target, epsilon, [3, 300][seed % 2])
    value["row_potential"] *= 1 - 1e-9 * (seed % 3)
    packed = instances.entropic(cost, source, target, epsilon)
    visited = []
    whole = transport_kernel._KernelSums.visit_few
    monkeypatch.setattr(
        transport_kernel._KernelSums,
        "visit_few",
        lambda self, *block: visited.append(block) or whole(self, *block),
    )
    figures_are_true(packed, value)
    assert visited
    few = [decide(i, 1.0, instances.case(packed, value)).measured for i in IDS]
    monkeypatch.setattr(transport_kernel, "NEGLIGIBLE", np.inf)
    visited.clear()
    everything = [decide(i, 1.0, instances.case(packed, value)).measured for i in IDS]
    assert not visited
    # sums of about 1 in another order, and what is left out: 1e-39 an entry
    np.testing.assert_allclose(few, everything, rtol=1e-10, atol=1e-14)


class _Unconcerned:
    """A visitor that needs only what lies above `least`, and keeps what it is given."""

    def __init__(self, least):
        self.least, self.seen = least, set()

    def visit_few(self, rows, i, j, w, high, low, whole):
        self.seen |= set(zip((i + rows.start).tolist(), j.tolist(), strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(0, 8), st.floats(-0.2, 0.4))
@settings(deadline=None, max_examples=200)
def test_bounds_hold_where_float64_alone_was_good_enough(seed, offset, least):
    """Large potentials against large costs: float64 loses what pairs keep."""
    rng = np.random.default_rng(seed)
    n, m, size = 4, 9, 10.0**offset
    x, y = size + rng.random(n), rng.random(m) - size / 3
    cost = size * 2 / 3 + 1.5 + rng.random((n, m))
    few = _Unconcerned(least)
    found = sweep(MatrixCost(cost), x, y, None, few)
    exactly = [
        [Fraction(a) + Fraction(b) - Fraction(c) for b, c in zip(y, row, strict=True)]
        for a, row in zip(x, cost, strict=True)
    ]
    for i, row in enumerate(exactly):
        assert Fraction(found.row_largest[i]) >= max(row)
        for j, w in enumerate(row):
            assert not few.seen or (i, j) in few.seen or w <= Fraction(least)
    for j, column in enumerate(zip(*exactly, strict=True)):
        assert Fraction(found.column_largest[j]) >= max(column)
    flat = [w for row in exactly for w in row]
    assert Fraction(found.largest) >= max(flat)
    assert Fraction(found.smallest) <= min(flat)
    # what was looked at more closely is known to twice the precision
    if few.seen and max(flat) > least:
        assert Fraction(found.largest) - max(flat) <= Fraction(1e-15)


def figures_are_true(packed, value):
    case = instances.case(packed, value)
    decided = [decide(name, 1.0, case) for name in IDS]
    if any("cannot be judged" in d.detail for d in decided):
        return
    with exact.precision():
        violation = exact.violation(packed, value)
        # 1e-14: some tens of roundings of sums that are about 2; stray mass counts on
        # top of the deviations that it may offset
        room = 1e-14 + 4 * plan_of(case).stray
        assert violation <= exact.ball(decided[0].measured)
        assert exact.ball(decided[0].measured) <= violation * 1.0001 + room

        matrix = exact.plan(packed, value)
        fix = repair(setting(case).source, setting(case).target, plan_of(case))
        rows, columns = np.zeros(len(matrix)), np.zeros(len(matrix[0]))
        rows[setting(case).source.kept] = fix.theta
        columns[setting(case).target.kept] = fix.phi
        coupling = exact.repaired(packed, matrix, rows, columns)
        epsilon = packed.json["epsilon"]
        base = exact.base(packed, value)
        below, above = map(Fraction, entropic_bounds(case))
        # "not above": 400 bits do not tell apart what differs by 1e-130
        assert not base + exact.ball(below) > exact.dual(packed, value)
        assert not exact.primal(packed, coupling, epsilon) > base + exact.ball(above)
        measured = Fraction(decided[1].measured)
        assert measured >= above - below
        middle = exact.ball(value["regularised_cost"]) - base
        assert not exact.ball(measured) < exact.ball(above) - middle
        assert not exact.ball(measured) < middle - exact.ball(below)
        cost = exact.primal(packed, coupling, 0.0)
        measured = exact.ball(decided[2].measured)
        assert not measured < cost - exact.ball(value["cost"])
        assert not measured < cost - exact.transform(packed, value)


@given(st.integers(0, 2**32 - 1), st.integers(-9, 9), st.integers(0, 3))
@settings(deadline=None)
def test_reduced_costs_are_known_to_twice_the_precision(seed, scale, which):
    rng = np.random.default_rng(seed)
    n, m = 3, 4
    x, y = (10.0**scale * rng.normal(size=k) for k in (n, m))
    source, target = rng.random(n), rng.random(m)
    packed = instances.entropic(rng.normal(size=(n, m)), source, target, 1.0)
    if which:
        name = ("sqeuclidean", "euclidean", "cityblock")[which - 1]
        points = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
        points[1][0] = points[0][0]  # a distance of exactly zero
        packed = instances.from_points(packed, *points, name, 0.3)
    value = {"row_potential": x, "column_potential": y}
    at = setting(instances.case(packed, value))
    highs, lows = np.empty((n, m)), np.empty((n, m))

    def visit(rows, w, high, low, spare):
        highs[rows], lows[rows] = high, low

    found = sweep(at.cost, x, y, visit)
    with exact.precision():
        w = [
            [exact.ball(x[i]) + exact.ball(y[j]) - c for j, c in enumerate(row)]
            for i, row in enumerate(exact.cost(packed))
        ]
        for i, j in np.ndindex(n, m):
            off = exact.ball(highs[i, j]) + exact.ball(lows[i, j]) - w[i][j]
            assert abs(off) <= exact.ball(found.slack)
            assert abs(lows[i, j]) <= found.tail
            assert w[i][j] <= exact.ball(found.row_largest[i])
            assert w[i][j] <= exact.ball(found.column_largest[j])
            assert exact.ball(found.smallest) <= w[i][j]
            assert w[i][j] <= exact.ball(found.largest)
    # (9 + 2 (d^2 + 5d + 25)) u^2 of all magnitudes, d = 3
    size = np.abs(x).max() + np.abs(y).max() + 30
    assert found.slack <= 250 * U * U * size + 1e-150


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(0, 300))
def test_shares_are_known_to_their_stated_error(seed, n, spread):
    rng = np.random.default_rng(seed)
    weights = rng.random(n) * 10.0 ** (-0.5 * rng.integers(0, spread + 1, n))
    case = instances.case(instances.optimal(np.zeros((n, n)), weights, weights), {})
    found = marginal(case, "source").share
    for share, true in zip(found, exact.shares(weights), strict=True):
        assert abs(Fraction(share) - true) <= Fraction(SHARE_ERROR) * true


def test_what_a_plan_may_be_off_by_is_part_of_its_violation():
    packed = instances.optimal(np.zeros((2, 2)), np.ones(2), np.ones(2))
    value = instances.coupling(np.eye(2) / 2, np.zeros(2), np.zeros(2), 0.0)
    case = instances.case(packed, value)
    at, plan = setting(case), plan_of(case)
    off = np.array([0.1, 0.2])
    wide = plan._replace(row_error=off, column_error=off, stray=0.05)
    assert violation(at.source, at.target, wide) >= 0.7
    fix = repair(at.source, at.target, wide)
    assert np.all(fix.theta * (plan.row + off) <= 0.5)
    assert fix.deficit >= 0.3  # what is removed may have to be put back elsewhere


@pytest.mark.parametrize("epsilon", [1.0, 0.05, 1e-3])
def test_converged_answers_are_certified_tightly(epsilon):
    rng = np.random.default_rng(1)
    cost, source, target = rng.random((5, 7)), rng.random(5), rng.random(7)
    packed = instances.entropic(cost, source, target, epsilon)
    value = instances.sinkhorn(cost, source, target, epsilon, 4000)
    case = instances.case(packed, value)
    # 1e-12 is the contract's floor for marginals; 1e-8 its default gap
    assert decide(IDS[0], 1e-12, case).holds
    assert decide(IDS[1], 1e-8, case).holds
    entropy = [-np.sum(w / w.sum() * np.log(w / w.sum())) for w in (source, target)]
    assert decide(IDS[2], min(entropy) * epsilon + 1e-8, case).holds
    dense = instances.case(packed, instances.dense(value, cost, epsilon))
    assert decide(IDS[0], 1e-12, dense).holds
    assert decide(IDS[1], 1e-8, dense).holds


def test_an_offset_of_the_cost_changes_nothing():
    rng = np.random.default_rng(2)
    cost, weights = rng.random((6, 6)), np.ones(6)
    value = instances.sinkhorn(cost, weights, weights, 0.1, 400)
    shifted = value | {
        name: value[name] + 1024.0
        for name in ("row_potential", "cost", "regularised_cost")
    }
    case = instances.case(
        instances.entropic(cost + 1024.0, weights, weights, 0.1), shifted
    )
    # potentials near 1024 are rounded by 1e-13, entries so by 1e-12 relatively; that
    # mass is repaired at the price of the range of C, which is 1
    assert decide(IDS[1], 1e-11, case).holds


def test_enclosures_contain_the_optimal_cost():
    rng = np.random.default_rng(3)
    for _ in range(20):
        units, others = [1, 2, 2], [3, 1, 1]
        cost = rng.random((3, 3))
        source, target = np.array(units, float), np.array(others, float)
        packed = instances.entropic(cost, source, target, 0.05)
        value = instances.sinkhorn(cost, source, target, 0.05, 50)
        found = decide(IDS[2], 1.0, instances.case(packed, value))
        with exact.precision():
            optimum = exact.assignment(packed, units, others)
            slack = 1e-15  # the figures shown are rounded to nearest
            assert exact.ball(found.figures["lower"]) - slack <= optimum
            assert optimum <= exact.ball(found.figures["upper"]) + slack


def test_any_dual_point_is_below_any_upper_bound():
    rng = np.random.default_rng(4)
    cost, source, target = rng.random((4, 5)), rng.random(4), rng.random(5)
    packed = instances.entropic(cost, source, target, 0.02)
    best = instances.sinkhorn(cost, source, target, 0.02, 3000)
    with exact.precision():
        optimum = exact.dual(packed, best)
        for sweeps in (1, 3, 10, 3000):
            value = instances.sinkhorn(cost, source, target, 0.02, sweeps)
            for form in (value, instances.dense(value, cost, 0.02)):
                found = decide(IDS[1], 1.0, instances.case(packed, form))
                assert optimum <= exact.ball(found.figures["upper"]) + 1e-15


def test_a_stated_figure_is_not_believed():
    rng = np.random.default_rng(5)
    cost, weights = rng.random((4, 4)), np.ones(4)
    packed = instances.entropic(cost, weights, weights, 0.1)
    value = instances.sinkhorn(cost, weights, weights, 0.1, 400)
    for name, rule in (("regularised_cost", IDS[1]), ("cost", IDS[2])):
        for shift in (1e-3, -1e-3):
            forged = value | {name: value[name] + shift}
            honest = decide(rule, 1.0, instances.case(packed, value)).measured
            found = decide(rule, 1.0, instances.case(packed, forged)).measured
            assert found >= 1e-3
            assert found <= honest + 1e-3 + 1e-12


BROKEN = {
    "row_potential": [np.nan, "missing", "float32", "shape", 1e200],
    "row_scaling": [np.nan, "missing", "float32", "shape", 0.0, -1.0, 1.5],
    "column_remainder": [np.inf, "missing", "float32", "shape", -1e-9],
    "regularised_cost": [np.nan, "missing", "float32", "shape"],
}


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for n, changes in BROKEN.items() for c in changes]
)
def test_bad_values_do_not_hold(name, change):
    cost, weights = np.eye(3), np.ones(3)
    packed = instances.entropic(cost, weights, weights, 0.5)
    value = instances.sinkhorn(cost, weights, weights, 0.5)
    assert decide(IDS[1], 1e-6, instances.case(packed, value)).holds
    broken = dict(value)
    if change == "missing":
        del broken[name]
    elif change == "float32":
        broken[name] = value[name].astype(np.float32)
    elif change == "shape":
        broken[name] = np.zeros((2, 2))
    else:
        broken[name] = value[name].copy()
        broken[name].reshape(-1)[0] = change
    found = decide(IDS[1], 1e-6, instances.case(packed, broken))
    assert not found.holds
    assert "cannot be judged" in found.detail


@pytest.mark.parametrize("name", ["cost", "source", "target"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_bad_problems_do_not_hold(name, bad):
    cost, weights = np.eye(3), np.ones(3)
    packed = instances.entropic(cost, weights, weights, 0.5)
    value = instances.sinkhorn(cost, weights, weights, 0.5)
    packed.arrays[name] = packed.arrays[name].copy()
    packed.arrays[name].reshape(-1)[1] = bad
    for rule in IDS[1:]:
        assert not decide(rule, 1e-6, instances.case(packed, value)).holds


@pytest.mark.parametrize("epsilon", [0.0, -1.0, 1e-300, 1e-16, True, "0.1", None])
def test_epsilons_that_cannot_be_judged(epsilon):
    cost, weights = np.eye(3), np.ones(3)
    packed = instances.entropic(cost, weights, weights, 0.5)
    value = instances.sinkhorn(cost, weights, weights, 0.5)
    packed.json["epsilon"] = epsilon
    assert not decide(IDS[0], 1e9, instances.case(packed, value)).holds


def test_several_blocks_agree_with_one(monkeypatch):
    from lemmata_checker.rules import transport_reduced

    rng = np.random.default_rng(6)
    cost, source, target = rng.random((9, 4)), rng.random(9), rng.random(4)
    packed = instances.entropic(cost, source, target, 0.1)
    value = instances.sinkhorn(cost, source, target, 0.1, 3)
    for form in (value, instances.dense(value, cost, 0.1)):
        whole = [decide(i, 1.0, instances.case(packed, form)).measured for i in IDS]
        monkeypatch.setattr(transport_reduced, "BLOCK", 8)
        parts = [decide(i, 1.0, instances.case(packed, form)).measured for i in IDS]
        # sums of about 1 in another order
        np.testing.assert_allclose(parts, whole, rtol=1e-12, atol=1e-14)
        monkeypatch.undo()
