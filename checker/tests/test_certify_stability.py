"""The rules on SGD's stability against exact rational arithmetic."""

from fractions import Fraction as F

import numpy as np
import pytest
from checker.tests.stability import KIND, changed, instance, judge
from hypothesis import given, settings, strategies as st

from lemmata_checker import Case, Packed
from lemmata_checker.rules.certify_stability_moments import growth, stable_rate


def matrix(array):
    return [[F(v) for v in row] for row in array.tolist()]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def times(a, b):
    return [[dot(row, column) for column in zip(*b, strict=True)] for row in a]


def inner(a, b):
    return sum(dot(p, q) for p, q in zip(a, b, strict=True))


def combine(*parts):
    size = range(len(parts[0][1]))
    return [[sum(w * m[i][j] for w, m in parts) for j in size] for i in size]


def transpose(a):
    return [list(row) for row in zip(*a, strict=True)]


def exact_maps(case, m):
    """C(M) and D(M) in fractions, by definition."""
    rows = case.value["coordinates"]
    n, size = len(rows), case.problem.json["batch_size"]
    again = case.problem.json["replacement"]
    c = F(1, size) if again else F(n - size, max(size * (n - 1), 1))
    each = [times(transpose(matrix(j)), matrix(j)) for j in rows]
    hessian = combine(*((F(1, n), h) for h in each))
    turned = times(hessian, m)
    mean = combine((F(1, 2), turned), (F(1, 2), transpose(turned)))
    parts = [(1 - c, times(turned, hessian))]
    parts += [(c / n, times(times(h, m), h)) for h in each]
    return mean, combine(*parts)


def semidefinite(a) -> bool:
    """Pivots of an exact factorisation."""
    a = [list(row) for row in a]
    for k in range(len(a)):
        if a[k][k] < 0 or (a[k][k] == 0 and any(a[i][k] for i in range(k, len(a)))):
            return False
        if a[k][k] == 0:
            continue
        for i in range(k + 1, len(a)):
            factor = a[i][k] / a[k][k]
            for j in range(k, len(a)):
                a[i][j] -= factor * a[k][j]
    return True


SHAPES = st.sampled_from([(3, 1, 3), (4, 1, 2), (2, 2, 3), (1, 1, 1)])


@settings(max_examples=15, deadline=None)
@given(SHAPES, st.integers(0, 2**32 - 1), st.booleans())
def test_both_rates_hold_in_exact_arithmetic(shape, seed, replacement):
    n, outputs, r = shape
    size = 1 if n == 1 else 2
    case = instance(seed, n, outputs, r, size, replacement)
    low, high = stable_rate(case), growth(case).rate
    if low > 0:  # a nearly singular G may leave nothing to show
        mean, noise = exact_maps(case, matrix(case.value["lyapunov"]))
        assert semidefinite(combine((F(2) / F(low), mean), (F(-1), noise)))
    m = matrix(case.value["growth"])
    mean, noise = exact_maps(case, m)
    assert F(high) >= 2 * inner(m, mean) / inner(m, noise)
    assert low <= high


def test_figures_are_sharp():
    case = instance()
    rate = float(case.value["max_learning_rate"])
    # S was made for 1.001 mu, and proves at least that
    assert rate / 1.001 * (1 - 1e-9) <= stable_rate(case) <= rate
    assert growth(case).rate == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize("replacement", [False, True])
def test_stable_below_unstable_above_never_both(replacement):
    below = instance(eta=0.99, replacement=replacement)
    above = instance(eta=1.01, replacement=replacement)
    assert judge("sgd_stable", 1.0, below).holds
    assert not judge("sgd_unstable", 1.0, below).holds
    assert not judge("sgd_stable", 1.0, above).holds
    found = judge("sgd_unstable", 1.0, above)
    assert found.holds
    assert found.measured > 1
    assert judge("sgd_trace", 100.0, below).holds
    assert not judge("sgd_trace", 100.0, above).holds


def test_growth_is_what_a_moment_does():
    """The factor is at most the radius of the step, and positive growth is real."""
    case = instance(eta=1.2)
    m = matrix(case.value["growth"])
    eta = F(case.problem.json["learning_rate"])
    mean, noise = exact_maps(case, m)
    step = combine((F(1), m), (-2 * eta, mean), (eta * eta, noise))
    ratio = inner(step, m) / inner(m, m)
    factor = judge("sgd_unstable", 1.0, case).measured
    assert F(factor) <= ratio
    assert factor == pytest.approx(float(ratio), rel=1e-12)


def test_threshold_and_sharpness():
    case = instance()
    assert judge("sgd_threshold", 1e-2, case).holds
    assert not judge("sgd_threshold", 1e-6, case).holds
    assert judge("sgd_sharpness", 1e-12, case).holds
    for name in ("trace", "frobenius", "lambda_max"):
        other = changed(case, **{name: case.value[name] * (1 + 1e-9)})
        assert not judge("sgd_sharpness", 1e-10, other).holds
        assert judge("sgd_sharpness", 1e-8, other).holds
    other = changed(case, max_learning_rate=case.value["max_learning_rate"] * 1.1)
    assert not judge("sgd_threshold", 1e-2, other).holds


def turned(case, eta=0.9):
    """The same problem with coordinates in another basis: inner products decide."""
    r = case.value["coordinates"].shape[2]
    basis = np.linalg.qr(np.random.default_rng(9).normal(size=(r, r)))[0]
    value = dict(case.value)
    value["coordinates"] = case.value["coordinates"] @ basis
    for name in ("lyapunov", "growth"):
        inside = basis.T @ case.value[name] @ basis
        value[name] = (inside + inside.T) / 2
    return Case(case.problem, value)


def test_another_basis_is_proved_too():
    case = turned(instance())
    found = judge("sgd_threshold", 1e-2, case)
    assert found.holds
    assert found.assumptions["coordinates span the gradients"] == "checked"
    assert 0 < found.figures["phi"] < 1e-10


@pytest.mark.parametrize("factor", [1 - 1e-10, 1 + 1e-10])
def test_phi_is_paid_for(factor):
    """Coordinates off by 1e-10 would move both bounds one way; phi moves them apart."""
    plain = turned(instance())
    moved = changed(plain, coordinates=plain.value["coordinates"] * factor)
    one, two = (judge("sgd_stable", 1.0, c).figures for c in (plain, moved))
    assert two["phi"] > 10 * one["phi"]
    assert two["stable up to"] < one["stable up to"]
    assert two["unstable above"] > one["unstable above"]


def test_other_coordinates_are_refused():
    case = turned(instance())
    case = changed(case, coordinates=case.value["coordinates"] * 0.999)
    found = judge("sgd_stable", 1.0, case)
    assert not found.holds
    assert "inner products" in found.detail


@pytest.mark.parametrize("name", ["lyapunov", "growth"])
def test_witnesses_must_be_symmetric(name):
    case = instance()
    other = case.value[name].copy()
    other[0, 1] += 1e-9
    assert not judge("sgd_threshold", 1e-2, changed(case, **{name: other})).holds


def test_an_indefinite_lyapunov_matrix_proves_nothing():
    case = instance()
    for s in (-case.value["lyapunov"], np.diag([1.0, 1.0, 1.0, -1e-3])):
        assert not judge("sgd_stable", 1.0, changed(case, lyapunov=s)).holds


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", "0.1"),
        ("batch_size", 5),
        ("batch_size", True),
        ("batch_size", 1.5),
        ("replacement", 1),
        ("allow_residual", None),
        ("model", "mlp"),
        ("loss_tol", -1.0),
    ],
)
def test_malformed_problems_never_hold(field, wrong):
    assert not judge("sgd_stable", 1.0, instance(**{field: wrong})).holds


def test_residuals_decide_whether_it_is_a_minimum():
    for size, state in ((1e-6, "checked"), (1e-2, "violated")):
        case = instance()
        arrays = dict(case.problem.arrays)
        arrays |= {"residuals": np.full((4, 1), size), "targets": np.ones((4, 1))}
        case = Case(Packed(KIND, case.problem.json, arrays), case.value)
        found = judge("sgd_stable", 1.0, case)
        assert found.assumptions["interpolating minimum"] == state
        assert found.holds == (state == "checked")
