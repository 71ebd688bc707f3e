import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq
from hypothesis import given, settings, strategies as st

from lemmata_checker import rigor

finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
moderate = st.floats(-1e100, 1e100)


@pytest.fixture(autouse=True, scope="module")
def _precision():
    old, ctx.prec = ctx.prec, 300  # arb then decides every comparison below
    yield
    ctx.prec = old


def ball(value) -> arb:
    value = Fraction(value)
    return arb(fmpq(value.numerator, value.denominator))


def test_log_2_is_rounded_down_in_its_last_place():
    below, above = rigor.LN2, rigor.LN2 + Fraction(1, 2**260)
    assert ball(below) < arb(2).log() < ball(above)


def check_exp(z):
    lower, upper = rigor.exp_bounds(np.array(z))
    for point, low, high in zip(z, lower, upper, strict=True):
        exact = ball(point).exp()
        assert ball(low) <= exact
        assert high == math.inf or exact <= ball(high)
        if abs(point) <= 700:
            # 9u either way, and the rounding of the bounds themselves
            assert high - low <= 20 * rigor.U * high


@given(st.lists(st.floats(-760, 760), min_size=1, max_size=40))
@settings(deadline=None)
def test_exp_contains_the_real_one(z):
    check_exp(z)


def test_exp_at_extremes():
    corners = [0.0, -0.0, 700.0, -700.0, 5e-324, 1e300, -1e300]
    halves = (np.arange(-1400, 1401) / 2) * math.log(2)  # between two reductions
    nudged = [
        np.nextafter(halves, -np.inf),
        halves,
        np.nextafter(halves, np.inf),
    ]
    check_exp([z for z in corners if abs(z) < 1e6])
    check_exp(np.concatenate(nudged)[::3].tolist())
    lower, upper = rigor.exp_bounds(np.array(corners + [math.inf, -math.inf]))
    assert np.all(lower <= upper)
    assert upper[-2] == math.inf
    assert lower[-1] == 0.0


@given(
    st.floats(1e-200, 1e200),
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20),
)
@settings(deadline=None)
def test_scaled_exp_stays_within_its_stated_error(scale, pairs):
    high = np.array([700 * scale * a for a, _ in pairs]).clip(-700 * scale, 700 * scale)
    low = np.array([0.01 * scale * b for _, b in pairs])
    out = np.empty_like(high)
    rigor.Exponential(scale).into(high, low, out, np.empty((3, high.size)))
    for h, rest, found in zip(high, low, out, strict=True):
        exact = ((ball(h) + ball(rest)) / ball(scale)).exp()
        assert abs(ball(found) - exact) <= ball(rigor.EXP_ERROR) * exact


def test_scaled_exp_is_small_below_its_range():
    high, out = np.array([-1e9, -701.0, -700.5]), np.empty(3)
    rigor.Exponential(1.0).into(high, np.zeros(3), out, np.empty((3, 3)))
    assert np.all((out >= 0) & (out <= rigor.Exponential.floor_value))


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan, 1e-201, 1e201])
def test_scaled_exp_refuses_scales_out_of_range(scale):
    with pytest.raises(ValueError, match="expected a scale"):
        rigor.Exponential(scale)


@given(st.lists(st.floats(5e-324, 1.7e308), min_size=1, max_size=30))
@settings(deadline=None)
def test_log_contains_the_real_one(p):
    y, error = rigor.log_enclosed(np.array(p))
    for point, middle, radius in zip(p, y, error, strict=True):
        assert abs(ball(point).log() - ball(middle)) <= ball(radius)


def test_log_does_not_trust_the_library(monkeypatch):
    monkeypatch.setattr(rigor.np, "log", lambda m: np.full_like(m, 0.1))
    _, error = rigor.log_enclosed(np.array([0.3, 2.0]))
    assert np.all(error == np.inf)


@given(st.lists(finite, max_size=30))
def test_exact_sum(values):
    expected = sum((Fraction(v) for v in values), Fraction(0))
    assert rigor.exact_sum(np.array(values, dtype=np.float64)) == expected


@given(st.lists(st.tuples(finite, finite), max_size=20))
def test_exact_dot(pairs):
    a, b = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    expected = sum((Fraction(p) * Fraction(q) for p, q in pairs), Fraction(0))
    assert rigor.exact_dot(a, b) == expected


@given(moderate, moderate)
def test_sum_and_product_are_exact_transforms(a, b):
    s, e = rigor.two_sum(np.float64(a), np.float64(b))
    assert Fraction(float(s)) + Fraction(float(e)) == Fraction(a) + Fraction(b)
    p, f = rigor.two_product(np.float64(a), np.float64(b))
    error = Fraction(float(p)) + Fraction(float(f)) - Fraction(a) * Fraction(b)
    assert error == 0 or (abs(a * b) < 2.0**-960 and abs(error) <= Fraction(1, 2**1070))


@given(st.fractions())
def test_rounding_of_fractions_is_directed(value):
    up, down = rigor.float_up(value), rigor.float_down(value)
    assert Fraction(down) <= value <= Fraction(up)
    assert up in (down, math.nextafter(down, math.inf))


def test_rounding_of_fractions_beyond_float64():
    huge = Fraction(10) ** 400
    assert rigor.float_up(huge) == math.inf
    assert rigor.float_down(-huge) == -math.inf
    assert rigor.float_down(huge) < math.inf
    assert math.isfinite(rigor.float_up(-huge))


@given(st.integers(1, 10**13))
def test_gamma_bounds_that_many_roundings(count):
    # (1 + u)^k - 1 <= k u / (1 - k u)
    exact = Fraction(count, 2**53) / (1 - Fraction(count, 2**53))
    assert Fraction(rigor.gamma(count)) >= exact


def test_gamma_gives_up():
    assert rigor.gamma(1e15) == math.inf
