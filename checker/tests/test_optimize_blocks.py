"""Rules on block steps: enclosures against fractions, forgeries refused."""

import math
from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules.optimize_blocks_forest import components, edges_within
from lemmata_checker.rules.optimize_blocks_steps import (
    decrease,
    gradient_at,
    newton_gain,
    on_block,
    smooth_quadratic,
    top_eigenvalue,
)

KIND = "optimize.composite/1"
seeds = st.integers(0, 2**32 - 1)


def least_squares(design, target, x, penalty="unpenalised", **numbers):
    parameters = {"loss": "least_squares", "penalty": penalty, "gap_tol": 1e-8}
    arrays = {"design": design, "target": target}
    return Packed(KIND, parameters | numbers, arrays), {
        "coefficients": x,
        "support": x != 0,
    }


def exact(design, target, x):
    """(f, gradient, Hessian) in fractions."""
    a = [[F(v) for v in row] for row in design.tolist()]
    r = [
        sum((p * F(q) for p, q in zip(row, x.tolist(), strict=True)), F(0)) - F(y)
        for row, y in zip(a, target.tolist(), strict=True)
    ]
    columns = list(zip(*a, strict=True))
    gradient = [sum(p * q for p, q in zip(c, r, strict=True)) for c in columns]
    hessian = [
        [sum(p * q for p, q in zip(c, e, strict=True)) for e in columns]
        for c in columns
    ]
    return sum(v * v for v in r) / 2, gradient, hessian


def eliminate(h, g):
    """H^-1 g in fractions."""
    n = len(g)
    rows = [[*row, v] for row, v in zip(h, g, strict=True)]
    for i in range(n):
        pivot = next(k for k in range(i, n) if rows[k][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(n):
            if k != i:
                ratio = rows[k][i] / rows[i][i]
                rows[k] = [u - ratio * v for u, v in zip(rows[k], rows[i], strict=True)]
    return [rows[i][n] / rows[i][i] for i in range(n)]


@given(seeds, st.integers(1, 3), st.integers(-5, 5))
@settings(deadline=None, max_examples=60)
def test_decrease_and_newton_gain_are_enclosed(seed, k, scale):
    rng = np.random.default_rng(seed)
    design = 10.0**scale * rng.normal(size=(6, 4))
    target, x = rng.normal(size=6), rng.normal(size=4)
    block, d = np.sort(rng.choice(4, k, replace=False)), rng.normal(size=k)
    at = smooth_quadratic(Case(*least_squares(design, target, x)))
    q = on_block(at, gradient_at(at, x), block)
    _, g, h = exact(design, target, x)
    for i, v in enumerate(block.tolist()):
        assert abs(F(float(q.g[i])) - g[v]) <= F(float(q.slip[i]))
    moved = [F(v) for v in d.tolist()]
    inner = [[h[u][v] for v in block] for u in block]
    mine = [g[v] for v in block]
    linear = sum(p * q for p, q in zip(mine, moved, strict=True))
    curve = sum(moved[i] * inner[i][j] * moved[j] for i in range(k) for j in range(k))
    low, high = decrease(q, d)
    assert F(low) <= -linear - curve / 2 <= F(high)
    # sums of six products: some tens of roundings
    size = abs(linear) + abs(curve) + sum(F(float(s)) for s in np.abs(q.g)) + 1
    assert F(high) - F(low) <= F(1, 10**11) * size * (1 + abs(max(moved, key=abs)))
    gain = sum(p * q for p, q in zip(mine, eliminate(inner, mine), strict=True)) / 2
    low, high = newton_gain(q)
    assert low <= gain
    assert math.isinf(high) or gain <= F(high)
    assert top_eigenvalue(q) <= np.linalg.eigvalsh(q.h)[-1] * (1 + 1e-12)


def run(select, steps=4, n=6, size=2):
    """Matrix updates on fixed blocks of a ridge problem, recorded."""
    rng = np.random.default_rng(3)
    design = np.vstack([rng.normal(size=(8, n)), np.eye(n)])
    target = np.append(rng.normal(size=8), np.zeros(n))
    h, b = design.T @ design, design.T @ target
    table = np.arange(n, dtype=np.int64).reshape(-1, size)
    x, points, blocks, changes = np.zeros(n), [], [], []
    for _ in range(steps):
        g = h @ x - b
        inner = [h[np.ix_(t, t)] for t in table]
        newton = [np.linalg.solve(m, g[t]) for m, t in zip(inner, table, strict=True)]
        score = select(g, inner, newton, table)
        chosen = table[int(np.argmax(score))]
        d = -newton[int(np.argmax(score))]
        points.append(x.copy())
        blocks.append(chosen)
        changes.append(d)
        x[chosen] += d
    witness = {
        "points": np.array(points),
        "blocks": np.array(blocks),
        "changes": np.array(changes),
        "partition": table,
    }
    return *least_squares(design, target, x), witness


def gsq(g, inner, newton, table):
    return [g[t] @ d for t, d in zip(table, newton, strict=True)]


def worst(g, inner, newton, table):
    return [-v for v in gsq(g, inner, newton, table)]


def verdict(name, promised, made, parameters=None, **changed):
    packed, value, witness = made
    case = Case(packed, value, witness | changed, parameters or {})
    return decide(f"optimize.{name}/1", promised, case)


def test_progress():
    made = run(gsq)
    matrix = {"bound": "matrix"}
    found = verdict("progress", 1 - 1e-9, made, matrix)
    assert found.holds
    assert found.measured <= 1.0  # an exact step gains its bound and no more
    assert not verdict("progress", 1 + 1e-9, made, matrix).holds
    assert verdict("progress", 1 - 1e-9, made, {"bound": "gradient"}).holds
    half = made[2]["changes"] * 0.5
    found = verdict("progress", 1 - 1e-9, made, matrix, changes=half)
    assert found.measured == pytest.approx(0.75, abs=1e-9)  # t (2 - t) at t = 1/2
    assert not verdict("progress", 0.5, made, {"bound": "hope"}).holds


def test_linear_rate():
    made = run(gsq)
    found = verdict("linear_rate", 1.0, made, {"rule": "GSQ"})
    assert found.holds
    packed = made[0]
    h = packed.arrays["design"].T @ packed.arrays["design"]
    d = np.zeros_like(h)
    for t in made[2]["partition"]:
        d[np.ix_(t, t)] = h[np.ix_(t, t)]
    least = np.min(np.linalg.eigvals(np.linalg.solve(d, h)).real)
    assert found.figures["factor"] == pytest.approx(1 - least / 3, rel=1e-9)
    assert found.figures["factor"] >= 1 - least / 3
    assert not verdict(
        "linear_rate", found.measured * (1 - 1e-9), made, {"rule": "GSQ"}
    ).holds
    # a run that chose otherwise is not a run of the rule
    other = verdict("linear_rate", 1.0, run(worst), {"rule": "GSQ"})
    assert "not the one" in other.detail
    small = 1e-3 * made[2]["changes"]
    assert not verdict("linear_rate", 1.0, made, {"rule": "GSQ"}, changes=small).holds


def test_linear_rate_of_variable_blocks():
    packed, value, witness = run(gsq)
    del witness["partition"]
    chosen = verdict("linear_rate", 1.0, (packed, value, witness), {"rule": "GSD"})
    assert not chosen.holds  # GSQ's blocks are not the top coordinates


def test_rule_order():
    made = run(gsq)
    points = made[2]["points"]
    packed = made[0]
    h = packed.arrays["design"].T @ packed.arrays["design"]
    b = packed.arrays["design"].T @ packed.arrays["target"]
    best, least = [], []
    for x in points:
        g = h @ x - b
        gain = [
            g[t] @ np.linalg.solve(h[np.ix_(t, t)], g[t]) for t in made[2]["partition"]
        ]
        best.append(np.argmax(gain))
        least.append(np.argmin(gain))
    chosen = np.array(best, np.int64)
    assert verdict("rule_order", -1e-9, made, chosen=chosen).holds
    assert not verdict(
        "rule_order", -1e-9, made, chosen=np.array(least, np.int64)
    ).holds
    overlapping = made[2]["partition"].copy()
    overlapping[0] = [0, 2]
    found = verdict("rule_order", -1e-9, made, chosen=chosen, partition=overlapping)
    assert "cover" in found.detail


@pytest.mark.parametrize(
    "changed",
    [
        {"points": np.full((4, 6), np.nan)},
        {"points": np.zeros((4, 5))},
        {"blocks": np.zeros((4, 2), np.int64)},
        {"blocks": np.zeros((4, 2), np.int32)},
        {"blocks": np.full((4, 2), 6, np.int64)},
        {"changes": np.zeros((4, 3))},
    ],
)
def test_malformed_records_never_hold(changed):
    made = run(gsq)
    for name, parameters in (
        ("progress", {"bound": "matrix"}),
        ("linear_rate", {"rule": "GSQ"}),
        ("forest", {}),
    ):
        assert not verdict(
            name, 1e9 if name == "forest" else 0.5, made, parameters, **changed
        ).holds


@given(seeds)
@settings(deadline=None, max_examples=40)
def test_components_by_brute_force(seed):
    rng = np.random.default_rng(seed)
    dense = np.triu(rng.random((7, 7)) < 0.25, 1)
    reach = (dense | dense.T | np.eye(7, dtype=bool)).astype(float)
    closure = np.linalg.matrix_power(reach, 7) > 0
    count = len({tuple(row) for row in closure.tolist()})
    assert components(np.argwhere(dense), 7) == count


def test_edges_of_least_squares_are_shared_rows():
    design = np.array([[1.0, 2.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
    at = smooth_quadratic(Case(*least_squares(design, np.ones(3), np.zeros(3))))
    assert edges_within(at, np.arange(3)).tolist() == [[0, 1]]


def support_case(residual, identified, **numbers):
    rng = np.random.default_rng(0)
    design = np.vstack([rng.normal(size=(8, 4)), np.eye(4)])
    target = np.append(rng.normal(size=8), np.zeros(4))
    packed, value = least_squares(design, target, np.zeros(4), "l1", strength=100.0)
    witness = {
        "residual": np.array(residual),
        "identified_at": np.array(identified, np.int64),
        "objective": np.array(residual),
    }
    return packed, value, witness


def test_finite_termination_counts_steps():
    made = support_case([1.0, 1e-3, 1e-9, 1e-11], [1, 2, 2, 2])
    found = verdict("finite_termination", 2.0, made)
    assert found.holds
    assert found.measured == 2.0  # found at 2, ended at 4: 1e-10 is the limit
    assert not verdict("finite_termination", 1.0, made).holds
    slow = support_case([1.0, 1e-3, 1e-9, 2e-10], [1, 2, 2, 2])
    assert not verdict("finite_termination", 9.0, slow).holds
    forged = support_case([1.0, 1e-3, 1e-9, 1e-11], [1, 7, 7, 7])
    assert "does not fit" in verdict("finite_termination", 9.0, forged).detail


def test_active_set_complexity():
    made = support_case([2.0, 1.0, 0.5, 0.0], [0, 0, 0, 0])
    found = verdict("active_set_complexity", 0.0, made, {"visit": 2})
    assert found.holds
    assert found.figures["delta"] > 0
    k = found.figures["K"]
    assert found.measured == pytest.approx(-k - 2)
    assert not verdict("active_set_complexity", 0.0, made, {"visit": 0}).holds
