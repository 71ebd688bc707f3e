"""Balls hold what they stand for: exact fractions, and flint's power series."""

from fractions import Fraction as F

import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import given, settings, strategies as st

from lemmata_checker import intervals
from lemmata_checker.curves import CURVES, power, real_power
from lemmata_checker.intervals import Ball, exact

SEEDS = st.integers(0, 2**32 - 1)
PLACES = np.array([-1.0, -0.3, 0.0, 0.7, 1.0])  # of a member within its ball


def ball(rng, *shape):
    mid = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 6)
    return Ball(mid, np.abs(mid) * 10.0 ** rng.integers(-16, -1))


def members(rng, a):
    """Exact entries of one array in the ball, as fractions."""
    shares = rng.choice(PLACES, size=a.shape)
    found = [
        F(m) + F(r) * F(s)
        for m, r, s in zip(a.mid.flat, a.radius.flat, shares.flat, strict=True)
    ]
    return np.array(found, dtype=object).reshape(a.shape)


def holds(a, exact_values):
    values = np.asarray(exact_values, dtype=object).reshape(-1)
    pairs = zip(values, a.mid.flat, a.radius.flat, strict=True)
    return all(abs(v - F(m)) <= F(r) for v, m, r in pairs)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_sums_and_products_hold_exactly(seed):
    rng = np.random.default_rng(seed)
    a, b = ball(rng, 3, 4), ball(rng, 3, 4)
    x, y = members(rng, a), members(rng, b)
    assert holds(intervals.add(a, b), x + y)
    assert holds(intervals.subtract(a, b), x - y)
    assert holds(intervals.multiply(a, b), x * y)
    assert holds(intervals.multiply(a, exact(0.0)), x * 0)
    assert holds(intervals.total(a, (0,)), x.sum(axis=0))
    assert holds(intervals.total(a, (0, 1)), x.sum())
    c = ball(rng, 4, 2)
    z = members(rng, c)
    assert holds(intervals.product(a, c), x.dot(z))
    assert holds(intervals.product(exact(a.mid), c), np.vectorize(F)(a.mid).dot(z))
    index = rng.integers(0, 5, size=(3, 4))
    target = np.array([F(0)] * 5, dtype=object)
    for place, entry in zip(index.flat, x.flat, strict=True):
        target[place] += entry
    assert holds(intervals.scatter_add((5,), index, a), target)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_reciprocals_and_roots_hold_exactly(seed):
    rng = np.random.default_rng(seed)
    a = ball(rng, 6)
    x = members(rng, a)
    assert holds(intervals.reciprocal(a), [1 / v for v in x])
    positive = Ball(np.abs(a.mid), a.rad)
    root = intervals.square_root(positive)
    x = members(rng, positive)
    for value, lower, upper in zip(x, root.lower(), root.upper(), strict=True):
        assert max(F(lower), F(0)) ** 2 <= value <= F(upper) ** 2


def test_what_is_not_defined_is_nan():
    around = Ball(np.array([0.0, 1e-3]), np.array([0.0, 2e-3]))
    assert np.isnan(intervals.reciprocal(around).mid).all()
    assert np.isnan(intervals.square_root(around).mid).all()
    assert np.isnan(intervals.between(np.array([1.0]), np.array([0.0])).radius).all()


def test_tiny_and_huge_numbers():
    tiny = exact(np.array([1e-200, 5e-324, 1e200]))
    with np.errstate(over="ignore"):
        square = intervals.multiply(tiny, tiny)
    assert holds(
        Ball(square.mid[:2], square.radius[:2]), [F(1e-200) ** 2, F(5e-324) ** 2]
    )
    assert not np.isfinite(square.upper()[2])


def sigmoid(s):
    return 1 / (1 + (-s).exp())


SERIES = {
    "exp": lambda s: s.exp(),
    "log": lambda s: s.log(),
    "sqrt": lambda s: s.sqrt(),
    "reciprocal": lambda s: 1 / s,
    "logistic": sigmoid,
    "softplus": lambda s: (1 + s.exp()).log(),
    "sin": lambda s: s.sin(),
    "cos": lambda s: s.cos(),
    "tan": lambda s: s.sin() / s.cos(),
    "asin": lambda s: s.asin(),
    "acos": lambda s: s.acos(),
    "atan": lambda s: s.atan(),
    "sinh": lambda s: (s.exp() - (-s).exp()) / 2,
    "cosh": lambda s: (s.exp() + (-s).exp()) / 2,
    "tanh": lambda s: 1 - 2 / ((2 * s).exp() + 1),
    "asinh": lambda s: (s + (s * s + 1).sqrt()).log(),
    "acosh": lambda s: (s + (s * s - 1).sqrt()).log(),
    "atanh": lambda s: ((1 + s) / (1 - s)).log() / 2,
    "log1p": lambda s: (1 + s).log(),
    "expm1": lambda s: s.exp() - 1,
    "erf": lambda s: s.erf(),
    "erfc": lambda s: s.erfc(),
    "abs": lambda s: s if s[0] > 0 else -s,
    "sign": lambda s: 0 * s + (1 if s[0] > 0 else -1),
    "cbrt": lambda s: (s.log() / 3).exp() if s[0] > 0 else -((-s).log() / 3).exp(),
}
DOMAIN = {
    **dict.fromkeys(("log", "sqrt"), (1e-3, 50.0)),
    **dict.fromkeys(("asin", "acos", "atanh"), (-0.99, 0.99)),
    "acosh": (1.01, 20.0),
    "log1p": (-0.9, 20.0),
    "tan": (-1.5, 1.5),
    **dict.fromkeys(("exp", "logistic", "softplus"), (-60.0, 60.0)),
}


def check(curve, series, place):
    """Value and derivatives at one exact point lie in the balls; they are narrow."""
    with ctx.workprec(300):
        found = series(arb_series([arb(place), 1], prec=3))
        exactly = [found[0], found[1], 2 * found[2]]
    for ball_, true in zip(curve, exactly, strict=True):
        centre, radius = float(ball_.mid[0]), float(ball_.radius[0])
        # "certainly outside": the oracle itself is a ball, of relative width 2^-300
        outside = abs(true - arb(centre)) > arb(radius)
        assert not outside, (place, true, centre, radius)


def test_every_curve_is_tested():
    assert set(SERIES) == set(CURVES)


@pytest.mark.parametrize("name", SERIES)
@settings(max_examples=30, deadline=None)
@given(share=st.floats(0, 1), width=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3]))
def test_curves_hold_values_and_derivatives(name, share, width):
    low, high = DOMAIN.get(name, (-4.0, 4.0))
    centre = low + share * (high - low)
    if abs(centre) < 1e-2:
        centre = 1e-2
    radius = width * abs(centre)
    wide = CURVES[name](Ball(np.array([centre]), np.array([radius])))
    for place in (centre, centre - 0.9 * radius, centre + 0.9 * radius):
        check(wide, SERIES[name], place)
    narrow = CURVES[name](exact(np.array([centre])))
    for ball_ in narrow:
        assert ball_.radius[0] <= 1e-9 * (1 + abs(ball_.mid[0]))


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.integers(-6, 9))
def test_integer_powers(base, exponent):
    base = base if abs(base) > 1e-2 else 0.5
    curve = power(Ball(np.array([base]), np.array([1e-9])), exponent)
    x = F(base) + F(1e-9) / 2
    k = exponent
    for ball_, true in zip(
        curve, (x**k, k * x ** (k - 1), k * (k - 1) * x ** (k - 2)), strict=True
    ):
        assert abs(true - F(float(ball_.mid[0]))) <= F(float(ball_.radius[0]))


def test_powers_at_zero():
    curve = power(exact(np.zeros(1)), 2)
    assert [float(b.mid[0]) for b in curve] == [0.0, 0.0, 2.0]
    assert [float(b.mid[0]) for b in power(exact(np.zeros(1)), 1)] == [0.0, 1.0, 0.0]
    assert [float(b.mid[0]) for b in power(exact(np.zeros(1)), 0)] == [1.0, 0.0, 0.0]
    with np.errstate(all="ignore"):
        assert np.isnan(power(exact(np.zeros(1)), -1).value.mid[0])


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 20), st.floats(-3, 3))
def test_real_powers(base, exponent):
    curve = real_power(exact(np.array([base])), exponent)
    check(curve, lambda s: (s.log() * arb(exponent)).exp(), base)


@pytest.mark.parametrize("name", ["log", "sqrt", "reciprocal", "abs", "sign", "cbrt"])
def test_curves_are_nan_where_they_are_not_smooth(name):
    with np.errstate(all="ignore"):
        curve = CURVES[name](Ball(np.array([0.0]), np.array([1e-9])))
    assert np.isnan(curve.slope.mid).all()


def test_scalars_and_nan_pass():
    for name in CURVES:
        with np.errstate(all="ignore"):
            assert (
                CURVES[name](exact(1.5 if name == "acosh" else 0.5)).value.shape == ()
            )
            assert np.isnan(CURVES[name](exact(np.full(2, np.nan))).value.mid).all()
