"""Bounds that survive rounding: float64, round to nearest, no library function trusted.

Only +, -, *, / and square roots are used, which IEEE 754 rounds correctly;
sums may be taken in any order (BLAS included), which the bounds allow for.

Sources: Higham, Accuracy and Stability of Numerical Algorithms (2002), chapter
3 (sums), Dekker (1971) and Knuth (TAOCP 2, 4.2.2) for the exact sum and product of two
floats, Muller et al., Handbook of Floating-Point Arithmetic (2018), chapter 11 (exp).
"""

import math
from fractions import Fraction

import numpy as np

U = 2.0**-53  # unit roundoff
TINY = 2.0**-1022  # smallest normal number; absorbs every underflow below
SPLITTER = 2.0**27 + 1

# floor(2^260 log 2) / 2^260: below log 2 by less than 2^-260.
LN2 = Fraction(
    0xB17217F7D1CF79ABC9E3B39803F2F6AF40F343267298B62D8A0D175B8BAAFA2BE, 2**260
)
EXP_ERROR = 8 * U  # relative error of `Exponential`, derived there
EXP_RANGE = 700.0


def gamma(count: float) -> float:
    """Bound on (1 + u)^count - 1 for `count` roundings, its own included.

    count u / (1 - count u) <= 1.01 count u while count u <= 0.009; infinite beyond.
    """
    return 1.02 * count * U if count * U <= 0.009 else math.inf


def float_up(value: Fraction) -> float:
    """The least float64 that is not below `value`."""
    try:
        nearest = float(value)  # Python divides integers correctly rounded
    except OverflowError:
        return math.inf if value > 0 else -float(np.finfo(np.float64).max)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def float_down(value: Fraction) -> float:
    """The greatest float64 that is not above `value`."""
    return -float_up(-value)


def two_sum(a, b):
    """(s, e) with s = fl(a + b) and s + e = a + b exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def split(a):
    """(high, low), high + low = a exactly, 26 bits each; |a| < 2^996."""
    t = SPLITTER * a
    high = t - (t - a)
    return high, a - high


def two_product(a, b):
    """(p, e) with p = fl(a b) and p + e = a b (Dekker).

    Exact if neither overflows and |a b| >= 2^-960 or 0; else off by 2^-1070 at most.
    """
    p = a * b
    a1, a2 = split(a)
    b1, b2 = split(b)
    return p, ((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2


def exact_sum(values: np.ndarray) -> Fraction:
    """The real sum of finite float64 numbers.

    Mantissas of one exponent are added as integers, in two halves below 2^27,
    which `bincount` adds without rounding for fewer than 2^26 numbers.
    """
    values = np.asarray(values, dtype=np.float64).reshape(-1)
    total = Fraction(0)
    for start in range(0, values.size, 2**25):
        mantissa, exponent = np.frexp(values[start : start + 2**25])
        integer = np.ldexp(mantissa, 53).astype(np.int64)
        levels, place = np.unique(exponent, return_inverse=True)
        high = integer >> 26
        low = integer - (high << 26)
        highs = np.bincount(place, weights=high.astype(np.float64))
        lows = np.bincount(place, weights=low.astype(np.float64))
        for level, h, low_sum in zip(
            levels.tolist(), highs.tolist(), lows.tolist(), strict=True
        ):
            part = (int(h) << 26) + int(low_sum)
            total += Fraction(part) * Fraction(2) ** (level - 53)
    return total


def exact_dot(a: np.ndarray, b: np.ndarray) -> Fraction:
    """The real sum of a_i b_i, finite float64 vectors of one shape."""
    size = np.abs(np.concatenate([a, b]))
    size = size[size > 0]
    if size.size and (size.min() < 2.0**-470 or size.max() > 2.0**480):
        pairs = zip(a.tolist(), b.tolist(), strict=True)
        return sum((Fraction(p) * Fraction(q) for p, q in pairs), Fraction(0))
    return exact_sum(np.concatenate(two_product(a, b)))


class Exponential:
    """exp(w / scale) for w = high + low given as two floats, enclosed.

    With L = scale log 2 = L1 + L2 (L1 of 42 bits) and an integer k near w / L,
    exp(w/scale) = 2^k exp(r), r = ((high - k L1) + (low - k L2)) / scale.

    Error, for |high| <= 700 scale and |low| <= 0.01 scale, u = 2^-53:
    |k| <= 1011 has 10 bits, so k L1 is exact; |high - k L1| <= 0.51 L; the
    three sums and k L2 round by at most u L (0.51 + 0.03 + 0.53), L2 is off
    by 2^-94 L, and 1/scale and the last product add 2u |r|, |r| <= 0.37: r is
    off by 1.5u. Taylor's series of degree 13 leaves 0.37^14 / 14! < 0.14u of
    exp(r); Horner rounds by u (|p_0| + 2 sum_k |r|^k |p_k|) <= 2.4u exp(r)
    (coefficients included). Together 4.1u to first order; `EXP_ERROR` is 8u.
    Scaling by 2^k is exact as |k| <= 1011.

    Below -700 scale the result is that at -700 scale: then both it and the true
    value lie in [0, `floor_value`]. Above 700 scale it means nothing: callers look.
    """

    # Adding it leaves k + 1023 in the low bits of the mantissa.
    MAGIC = 1.5 * 2.0**52 + 1023
    COEFFICIENTS = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))
    floor_value = 1.1e-304  # exp(-700 + 0.01) = 9.96e-305

    def __init__(self, scale: float) -> None:
        if not 1e-200 <= scale <= 1e200:
            raise ValueError(f"expected a scale in [1e-200, 1e200], got {scale}")
        self.scale = scale
        period = Fraction(scale) * LN2
        mantissa, exponent = math.frexp(float(period))
        self.first = math.ldexp(math.floor(mantissa * 2**42), exponent - 42)
        self.second = float(period - Fraction(self.first))
        self.frequency = float(1 / period)
        self.inverse = float(1 / Fraction(scale))
        self.limit = EXP_RANGE * scale

    def into(self, high, low, out, work) -> None:
        """Write the enclosed values to `out`; `work` has three buffers of its shape."""
        r, k, t = work
        np.maximum(high, -self.limit, out=r)
        np.multiply(r, self.frequency, out=t)
        t += self.MAGIC
        np.subtract(t, self.MAGIC, out=k)
        power = t.view(np.int64)
        np.left_shift(power, 52, out=power)  # t is now 2^k
        np.multiply(k, self.first, out=out)
        r -= out
        k *= self.second
        np.subtract(low, k, out=k)
        r += k
        r *= self.inverse
        np.multiply(r, self.COEFFICIENTS[0], out=out)
        out += self.COEFFICIENTS[1]
        for coefficient in self.COEFFICIENTS[2:]:
            out *= r
            out += coefficient
        out *= t


def exp_bounds(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds on exp(z), elementwise; z float64, no NaN.

    Relative width 18u for |z| <= 700; [0, 1.1e-304] below, [1e304, inf] above.
    """
    z = np.asarray(z, dtype=np.float64)
    value = np.empty_like(z)
    work = np.empty((3, *z.shape))
    Exponential(1.0).into(np.clip(z, -701, EXP_RANGE), np.zeros_like(z), value, work)
    lower, upper = value * (1 - 9 * U), value * (1 + 9 * U)
    lower = np.where(z > EXP_RANGE, 1e304, np.where(z < -EXP_RANGE, 0.0, lower))
    floor = Exponential.floor_value
    upper = np.where(z > EXP_RANGE, np.inf, np.where(z < -EXP_RANGE, floor, upper))
    return lower, upper


def log_enclosed(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(y, e) with |log p - y| <= e, elementwise; p float64, positive, finite.

    p = m 2^k, m in [0.7, 1.42). A guess y0 of log m, from a library that is not
    trusted, is verified: m exp(-y0) = 1 + d with |d| known to 9.2u, so log m =
    y0 + d up to d^2. Adding k log 2 rounds by 3u |y| + 2u: e = (12 + 4|y|) u. A
    guess off by more than 1e-9 gives e = inf.
    """
    p = np.asarray(p, dtype=np.float64)
    m, k = np.frexp(p)
    small = m < math.sqrt(0.5)
    m = np.where(small, 2 * m, m)
    k = k - small
    guess = np.log(m)
    value = np.empty_like(m)
    work = np.empty((3, *m.shape))
    Exponential(1.0).into(-guess, np.zeros_like(m), value, work)
    d = m * value - 1
    y = (guess + d) + k * float(LN2)
    error = np.where(np.abs(d) <= 1e-9, (12 + 4 * np.abs(y)) * U, np.inf)
    return y, np.where(np.isnan(d), np.inf, error)
