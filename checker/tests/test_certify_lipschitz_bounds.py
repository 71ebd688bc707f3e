"""The judge's own bounds on Jacobians: true in exact arithmetic, and hard to fool."""

from fractions import Fraction as F

import numpy as np
import pytest
from checker.tests.lipschitz_answers import (
    GAP,
    INTERVAL,
    LOWER,
    UPPER,
    answer,
    bounded,
    case,
    holds,
)
from checker.tests.networks import dense_network, exact_rows, image_network
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import decide
from lemmata_checker.network import network_of
from lemmata_checker.rules._certify_lipschitz_curves import (
    Lines,
    lines,
    slope_bounds,
    value_bounds,
)
from lemmata_checker.rules._certify_lipschitz_gradients import _envelope
from lemmata_checker.rules._certify_lipschitz_values import Values

MONOTONE = "certify.monotone/1"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=4),
    st.sampled_from([0.0, 1e-9, 0.05, 0.5, 3.0]),
    st.sampled_from([("relu", {}), ("leaky_relu", {"slope": 0.2})]),
    st.integers(0, 2**32 - 1),
)
def test_bounds_hold_in_exact_arithmetic(sizes, radius, activation, seed):
    """At points of the box, value and Jacobian in fractions."""
    rng = np.random.default_rng(seed)
    content, arrays = dense_network([3, *sizes], rng, activation[0], **activation[1])
    centre = rng.normal(size=3)
    values, found = bounded(content, arrays, centre - radius, centre + radius)
    for _ in range(4):
        share = rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], size=3)
        point = np.clip(centre + radius * share, centre - radius, centre + radius)
        exact = exact_rows(content, arrays, point)
        if exact is None:
            continue
        for c, (value, row) in enumerate(zip(*exact, strict=True)):
            assert F(float(values.bounds[-1][0][0, c])) <= value
            assert value <= F(float(values.bounds[-1][1][0, c]))
            assert sum(map(abs, row)) <= F(float(found.norm[c]))
            for j, entry in enumerate(row):
                assert F(float(found.entries[0][c, j])) <= entry
                assert entry <= F(float(found.entries[1][c, j]))


@pytest.mark.parametrize("op", ["relu", "tanh", "softplus", "sigmoid"])
def test_images_residuals_and_pools(op):
    """Finite differences at random points stay within the bounds."""
    rng = np.random.default_rng(3)
    content, arrays = image_network(rng, op)
    network = network_of(content, arrays)
    centre = rng.normal(size=32)
    _, found = bounded(content, arrays, centre - 0.1, centre + 0.1)
    step = 1e-6
    for _ in range(20):
        point = centre + rng.uniform(-0.09, 0.09, size=32)
        move = rng.choice([-1.0, 1.0], size=32)
        pair = np.stack([point + step * move, point - step * move])
        ends = Values(network, (pair, pair), {}, batch=2, linear=False).bounds[-1][0]
        slope = np.abs(ends[0] - ends[1]) / (2 * step)
        # central differences: off by rounding 1e-16 / 1e-6, by curvature 1e-12
        assert np.all(slope <= found.norm + 1e-8)
        assert np.all(slope >= 0)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["relu", "leaky_relu", "sigmoid", "tanh", "softplus"]),
    st.floats(-8, 8),
    st.floats(0, 9),
)
def test_lines_enclose_the_curve(op, low, width):
    node = network_of(
        {
            "input_shape": [1],
            "nodes": [
                {"op": op, "inputs": [-1]} | ({"slope": 0.3} if "leaky" in op else {})
            ],
        },
        {},
    ).nodes[0]
    lo, hi = np.array([low]), np.array([low + width])
    found = lines(node, lo, hi, None)
    assert isinstance(found, Lines)
    z = np.linspace(lo[0], hi[0], 101)
    curve, rate = {
        "relu": (np.maximum(z, 0), (z > 0) * 1.0),
        "leaky_relu": (np.maximum(z, 0.3 * z), np.where(z > 0, 1.0, 0.3)),
        "sigmoid": (1 / (1 + np.exp(-z)), np.exp(-z) / (1 + np.exp(-z)) ** 2),
        "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2),
        "softplus": (np.logaddexp(z, 0), 1 / (1 + np.exp(-z))),
    }[op]
    slack = 4e-15 * (1 + np.abs(z))  # NumPy's own curve, and the line's evaluation
    assert np.all(found.lower_slope * z + found.lower <= curve + slack)
    assert np.all(found.upper_slope * z + found.upper >= curve - slack)
    below, above = value_bounds(node, lo, hi)
    assert np.all((below <= curve + slack) & (curve <= above + slack))
    low_rate, high_rate = slope_bounds(node, lo, hi, None)
    assert np.all((low_rate <= rate + slack) & (rate <= high_rate + slack))


@settings(max_examples=200, deadline=None)
@given(
    st.floats(-1e3, 1e3),
    st.floats(0, 1e3),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_envelopes_hold_exactly(p, width, one, two):
    """At every corner of [p, q] x [low, high], and at g = 0, in fractions."""
    low, high = min(one, two), max(one, two)
    q = p + width
    arrays = [np.array([v]) for v in (p, q, low, high)]
    lines_ = [F(float(part[0])) for part in _envelope(*arrays)]
    lower_slope, lower, upper_slope, upper = lines_
    for g in {F(p), F(q), *([F(0)] if p <= 0 <= q else [])}:
        for s in (F(low), F(high)):
            assert lower_slope * g + lower <= g * s <= upper_slope * g + upper


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-10, 10), st.floats(0, 10), st.sampled_from([0.0, 0.3]), st.floats(0, 1)
)
def test_piecewise_lines_hold_exactly(lo, width, slope, share):
    """At both ends and at the kink, in fractions, for any lower slope in range."""
    op = {"op": "leaky_relu", "inputs": [-1], "slope": slope}
    node = network_of({"input_shape": [1], "nodes": [op]}, {}).nodes[0]
    hi = lo + width
    low = np.array([slope + (1 - slope) * share])
    for chosen in (None, np.minimum(low, 1.0)):
        found = lines(node, np.array([lo]), np.array([hi]), chosen)
        below, under, above, over = (F(float(part[0])) for part in found)
        for z in {F(lo), F(hi), *([F(0)] if lo <= 0 <= hi else [])}:
            value = z if z > 0 else F(slope) * z
            assert below * z + under <= value <= above * z + over


def test_honest_answer_holds():
    parts = answer()
    value = parts[2]
    assert holds(UPPER, value["lipschitz_upper"].max(), parts).holds
    assert holds(LOWER, value["lipschitz_lower"].max(), parts).holds
    ratio = (value["lipschitz_upper"] / value["lipschitz_lower"]).max()
    assert holds(GAP, ratio * (1 + 1e-9), parts).holds
    assert not holds(GAP, ratio * (1 - 1e-6), parts).holds
    # the judge rounds one more time than it states
    assert holds(INTERVAL, 1e-300, parts).holds


@pytest.mark.parametrize("row", [0, 1])
def test_a_bound_lowered_by_a_millionth_is_refused(row):
    parts = answer()
    for name, claim, factor in (
        ("lipschitz_upper", UPPER, 1 - 1e-6),
        ("lipschitz_lower", LOWER, 1 + 1e-6),
    ):
        forged = parts[2][name].copy()
        forged[row] *= factor
        promised = 1e9 if claim == UPPER else 0.0
        assert not holds(claim, promised, parts, **{name: forged}).holds
    for name in ("jacobian_lower", "jacobian_upper"):
        forged = parts[2][name].copy()
        forged[row, 1] += 1e-6 if name.endswith("lower") else -1e-6
        assert not holds(INTERVAL, 0.0, parts, **{name: forged}).holds


def test_a_flipped_weight_is_refused():
    content, arrays, value, lower, upper = answer()
    refused, rng = 0, np.random.default_rng(1)
    for name in ("network_0_weight", "network_2_weight", "network_4_weight"):
        for index in np.ndindex(arrays[name].shape):
            forged = arrays[name].copy()
            forged[index] *= -1
            changed = (content, arrays | {name: forged}, value, lower, upper)
            claims = ((UPPER, 1e9), (LOWER, 0.0), (INTERVAL, 1e-12))
            good = all(holds(c, p, changed).holds for c, p in claims)
            refused += not good
            if good:  # a neuron that is off: then the claims are still true
                point = rng.uniform(lower, upper)
                found = exact_rows(content, changed[1], point)[1]
                for c, row in enumerate(found):
                    assert sum(map(abs, row)) <= F(float(value["lipschitz_upper"][c]))
    assert refused >= 30


@pytest.mark.parametrize(("side", "away"), [(3, -1e-9), (4, 1e-9)])
def test_points_outside_the_box_are_refused(side, away):
    parts = answer()
    points = parts[2]["witness_points"].copy()
    points[0, 0] = parts[side][0] + away
    assert "points of the box" in holds(LOWER, 0.0, parts, witness_points=points).detail


def test_operations_without_bounds_are_named():
    content = {
        "input_shape": [2],
        "nodes": [{"op": "group_sort", "inputs": [-1], "size": 2}],
    }
    value = {"lipschitz_upper": np.ones(2)}
    box = (-np.ones(2), np.ones(2))
    found = decide(UPPER, 1e9, case(content, {}, value, *box))
    assert "group_sort has no local bounds" in found.detail


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"output": 2}, "output: expected"),
        ({"output": True}, "output: expected"),
        ({"output": "direction"}, "direction is missing"),
        ({"kind": "other"}, "a problem of kind"),
    ],
)
def test_bad_problems_are_refused(fields, message):
    content, arrays, value, lower, upper = answer()
    found = decide(UPPER, 1e9, case(content, arrays, value, lower, upper, **fields))
    assert message in found.detail
    assert not found.holds


def test_monotone_verdicts():
    """F = relu(x) + relu(x - 1) - y rises with x, falls with y."""
    content, _ = dense_network(
        [2, 2, 1], np.random.default_rng(0), "leaky_relu", slope=0.1
    )
    arrays = {
        "network_0_weight": np.array([[1.0, 0.0], [1.0, -1.0]]),
        "network_0_bias": np.array([0.0, -1.0]),
        "network_2_weight": np.ones((1, 2)),
        "network_2_bias": np.zeros(1),
    }
    box = (-np.ones(2), np.ones(2) * 2)

    def judged(verdicts, features=(0, 1)):
        value = {"verdicts": np.array(verdicts)}
        fields = {"kind": "monotonicity", "features": list(features), "output": 0}
        return decide(MONOTONE, 0.0, case(content, arrays, value, *box, **fields))

    assert judged([1, -1]).holds
    assert judged([0, -1]).holds
    for verdicts in ([-1, -1], [1, 1], [0, 0], [2, -1], [1]):
        assert not judged(verdicts).holds
    assert not judged([1, -1], features=(0, 2)).holds
