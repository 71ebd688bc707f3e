"""Rules of matrix sensing against fractions and balls, and forgeries of each."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker import gaussian
from lemmata_checker.case import decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules.optimize_sensing import least_gain
from lemmata_checker.rules.optimize_sensing_operator import (
    factor_product,
    image,
    sensing_of,
)
from lemmata_checker.spectrum import singular_values

from . import sensing
from .sensing import N1, N2, case, packed, semidefinite

RESIDUAL, RECOVERY = "optimize.measurement_residual/1", "optimize.recovery/1"
HELD_OUT = "optimize.held_out_error/1"
RATIONAL = ("identity", "dense", "rank_one", "mask", "gaussian")
EVERY = (*RATIONAL, "fourier")
seeds = st.integers(0, 2**31)
few = settings(deadline=None, max_examples=40)


def root(square: Fraction) -> float:
    return math.sqrt(float(square))


# --- the seeded stream


def test_table_is_the_rounded_quantile():
    """Phi(v - h) < (d + 1/2) / 65536 < Phi(v + h), h just above half a grid step."""
    with flint.ctx.workprec(120):
        half = flint.arb(2) ** -27 * (1 + flint.arb(2) ** -12)
        two = flint.arb(2).sqrt()

        def phi(v):
            return (1 + (v / two).erf()) / 2

        for d in [*range(32768, 65536, 331), 65535]:
            p = flint.arb(2 * d + 1) / 131072
            v = flint.arb(float(gaussian.table()[d]))
            assert phi(v - half) < p < phi(v + half)


def test_moments_of_the_table_are_those_the_bound_needs():
    table = [Fraction(v) for v in gaussian.table().tolist()]
    assert all(a == -b for a, b in zip(table, reversed(table), strict=True))
    assert all((v * 2**26).denominator == 1 for v in table)
    second = sum(v**2 for v in table) / 65536
    fourth = sum(v**4 for v in table) / 65536
    assert fourth <= 3 * second**2
    assert abs(float(second) - gaussian.variance()) <= 1e-11
    assert 0.9999 < second < 1


def test_rows_start_at_fresh_counters():
    all_rows = gaussian.rows(7, 0, 9, 21)
    np.testing.assert_array_equal(gaussian.rows(7, 4, 6, 21), all_rows[4:6])
    words = np.random.Philox(key=7).random_raw(8).tolist()
    digits = [(w >> s) & 0xFFFF for w in words for s in (0, 16, 32, 48)]
    np.testing.assert_array_equal(all_rows[0], gaussian.table()[digits[:21]])


# --- singular values


@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(-9, 0))
@few
def test_singular_values_are_enclosed(seed, n, k, scale):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, k)) * 10.0 ** (scale * rng.random(k))
    low, high = singular_values(matrix)
    tall = matrix if n >= k else matrix.T
    with flint.ctx.workprec(300):
        exact = flint.fmpq_mat(
            [[flint.fmpq(*v.as_integer_ratio()) for v in row] for row in tall.tolist()]
        )
        gram = flint.acb_mat(flint.arb_mat(exact.transpose() * exact))
        try:
            eigenvalues = gram.eig()
        except ValueError:  # clustered
            return
        true = sorted((float(e.real.sqrt().mid()) for e in eigenvalues), reverse=True)
    assert np.all(low <= np.array(true) * (1 + 1e-15))
    assert np.all(high >= np.array(true) * (1 - 1e-15))
    assert np.all(high - low <= 1e-12 * high[0])


# --- residual, recovery, held out


@given(seeds, st.sampled_from(RATIONAL), st.integers(1, 3), st.booleans())
@few
def test_residual_is_true_in_exact_arithmetic(seed, operator, k, near):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(N1, k)), rng.normal(size=(N2, k))
    problem = packed(operator, seed=seed)
    if near:
        y = sensing.rows(problem, (N1, N2)) @ (factors[0] @ factors[1].T).reshape(-1)
        problem = packed(operator, seed=seed, y=y * (1 + 1e-15))
    entries = sensing.exact_product(*factors)
    y = [Fraction(v) for v in problem.arrays["measurements"].tolist()]
    r = [
        sum(a * e for a, e in zip(row, entries, strict=True)) - v
        for row, v in zip(sensing.exact_rows(problem, (N1, N2)), y, strict=True)
    ]
    exact = root(sum(v * v for v in r)) / root(sum(v * v for v in y))
    found = decide(RESIDUAL, 1.0, case(problem, *factors))
    assert exact * (1 - 1e-15) <= found.measured <= exact * (1 + 1e-13) + 1e-13


@given(seeds)
@few
def test_fourier_residual_is_true_in_ball_arithmetic(seed):
    rng = np.random.default_rng(seed)
    left, right = rng.normal(size=(N1, 2)), rng.normal(size=(N2, 2))
    problem = packed("fourier", seed=seed)
    y = sensing.rows(problem, (N1, N2)) @ (left @ right.T).reshape(-1)
    problem = packed("fourier", seed=seed, y=y)
    entries = sensing.exact_product(left, right)
    k, l_ = (problem.arrays[f"{n}_index"].tolist() for n in ("row", "column"))
    with flint.ctx.workprec(200):
        total = flint.arb(0)
        for place, (a, b) in enumerate(zip(k, l_, strict=True)):
            c = flint.acb(0)
            for j, entry in enumerate(entries):
                p, q = divmod(j, N2)
                angle = flint.arb(-2 * (a * p * N2 + b * q * N1)) / (N1 * N2)
                c += flint.acb(angle).exp_pi_i() * flint.fmpq(
                    entry.numerator, entry.denominator
                )
            total += (c.real - float(y[place])) ** 2
            total += (c.imag - float(y[place + len(k)])) ** 2
        exact = float(total.sqrt().mid()) / float(np.linalg.norm(y))
    found = decide(RESIDUAL, 1.0, case(problem, left, right))
    assert exact * (1 - 1e-14) <= found.measured <= exact + 2e-13


@pytest.mark.parametrize("operator", EVERY)
def test_gradients_are_within_their_errors(operator):
    problem = packed(operator, seed=4)
    at = sensing_of(case(problem, np.ones((N1, 1)), np.ones((N2, 1))))
    rng = np.random.default_rng(0)
    products = [
        factor_product(rng.normal(size=(N1, 2)), rng.normal(size=(N2, 2)))
        for _ in range(3)
    ]
    found = image(at, products, gradient=True)
    a = sensing.rows(problem, (N1, N2))
    for p, r, g, off in zip(
        products, found.residual, found.gradient, found.gradient_error, strict=True
    ):
        expected = a @ p.matrix.reshape(-1) - problem.arrays["measurements"]
        np.testing.assert_allclose(r, expected, atol=1e-13)
        expected = at.scale * (expected @ a).reshape(N1, N2)
        assert np.linalg.norm(g - expected) <= off + 1e-13
        assert off <= 1e-11


@pytest.mark.parametrize("operator", ["dense", "rank_one", "gaussian"])
def test_gain_is_below_the_least_singular_value(operator):
    problem = packed(operator, seed=2, m=15)
    at = sensing_of(case(problem, np.ones((N1, 1)), np.ones((N2, 1))))
    values = np.linalg.svd(sensing.rows(problem, (N1, N2)), compute_uv=False)
    assert 0.999 * values[-1] <= least_gain(at) <= values[-1]


def test_recovery_is_refused_where_the_measurements_do_not_determine_the_matrix():
    for operator in ("dense", "mask", "fourier"):
        problem = packed(operator, m=9)
        found = decide(RECOVERY, 1e9, case(problem, np.ones((N1, 1)), np.ones((N2, 1))))
        assert not found.holds
        assert "determine" in found.detail
    twins = packed("dense", m=14)
    twins.arrays["matrices"][:, 0, 0] = twins.arrays["matrices"][:, 1, 1]
    found = decide(RECOVERY, 1e9, case(twins, np.ones((N1, 1)), np.ones((N2, 1))))
    assert not found.holds


def test_recovery_bounds_the_true_error():
    truth = semidefinite(4, (1.0,)), semidefinite(4, (1.0,), seed=1)
    for operator in ("identity", "dense", "gaussian"):
        problem = packed(operator, planted=truth, m=30)
        left = truth[0] + 1e-3
        error = np.linalg.norm(left @ truth[1].T - truth[0] @ truth[1].T)
        found = decide(RECOVERY, 1.0, case(problem, left, truth[1]))
        assert found.holds
        assert error <= found.measured <= 10 * error
        assert not decide(RECOVERY, error / 2, case(problem, left, truth[1])).holds


def test_held_out_bound_fails_no_more_often_than_it_says():
    """Over 400 keys, delta = 0.5: Maurer's inequality is far from tight."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(N1, 1)), rng.normal(size=(N2, 1))
    size = np.linalg.norm(left @ right.T)
    failures, ratios = 0, []
    for key in range(400):
        zero = np.zeros(N1), np.zeros(N2)
        truth = (zero[0][:, None], zero[1][:, None])
        problem = packed("gaussian", planted=truth, seed=key, held_out=12, m=14)
        problem.arrays["measurements"][:2] = 1.0
        found = decide(HELD_OUT, 1e9, case(problem, left, right, delta=0.5))
        failures += found.measured < size
        ratios.append(found.measured / size)
    assert failures <= 0.5 * 400
    assert 1.0 < np.median(ratios) < 2.0


def test_held_out_needs_fresh_rows_of_a_seeded_operator():
    left, right = np.ones((N1, 1)), np.ones((N2, 1))
    problem = packed("gaussian", held_out=12)
    assert decide(HELD_OUT, 1e9, case(problem, left, right, delta=0.5)).holds
    for delta in (0.0, 1.0, "0.5", True, math.nan):
        assert not decide(HELD_OUT, 1e9, case(problem, left, right, delta=delta)).holds
    few_rows = decide(HELD_OUT, 1e9, case(problem, left, right, delta=0.01))
    assert "too few" in few_rows.detail
    none = decide(HELD_OUT, 1e9, case(packed("gaussian"), left, right, delta=0.5))
    assert not none.holds
    dense = packed("dense", held_out=12)
    assert not decide(RESIDUAL, 1e9, case(dense, left, right)).holds


# --- hostile problems


@pytest.mark.parametrize(
    "change",
    [
        {"operator": "unknown"},
        {"operator": None},
        {"rows": 0},
        {"rows": "4"},
        {"rows": True},
        {"columns": 10**12},
        {"count": -1},
        {"count": 15},
        {"key": -1},
        {"key": 2**64},
        {"held_out": 14},
        {"held_out": -1},
        {"psd": 1},
        {"psd": True},
    ],
    ids=str,
)
def test_hostile_fields_never_hold(change):
    problem = packed("gaussian")
    left, right = np.ones((N1, 1)), np.ones((N2, 1))
    assert decide(RESIDUAL, 1e9, case(problem, left, right)).holds
    forged = Packed(problem.kind, problem.json | change, problem.arrays)
    assert not decide(RESIDUAL, 1e9, case(forged, left, right)).holds


def test_hostile_arrays_never_hold():
    left, right = np.ones((N1, 1)), np.ones((N2, 1))
    for operator in ("mask", "fourier"):
        problem = packed(operator)
        assert decide(RESIDUAL, 1e9, case(problem, left, right)).holds
        index = problem.arrays["row_index"]
        for forged in (
            index + 9,
            -index - 1,
            index[:-1],
            index.astype(float),
            index * 0,
        ):
            arrays = problem.arrays | {"row_index": forged}
            changed = Packed(problem.kind, problem.json, arrays)
            assert not decide(RESIDUAL, 1e9, case(changed, left, right)).holds
    problem = packed("dense")
    for name in ("matrices", "measurements"):
        arrays = problem.arrays | {name: np.full_like(problem.arrays[name], np.nan)}
        changed = Packed(problem.kind, problem.json, arrays)
        assert not decide(RESIDUAL, 1e9, case(changed, left, right)).holds
    zeros = problem.arrays | {"measurements": np.zeros(14)}
    changed = Packed(problem.kind, problem.json, zeros)
    assert not decide(RESIDUAL, 1e9, case(changed, left, right)).holds
    for factors in (
        (left[:2], right),
        (left, np.ones((N2, 2))),
        (left * np.inf, right),
    ):
        assert not decide(RESIDUAL, 1e9, case(problem, *factors)).holds
