"""Audited systems: enclosures in high precision, powers in fractions, forged counts."""

from fractions import Fraction as F

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed
from lemmata_checker.rules._linear_audit import (
    Audit,
    enclosed_powers,
    iteration_matrix,
    power,
)

YOUNG, SURROGATE, BOUND = (
    "linear.young_optimum/1",
    "linear.sor_surrogate/1",
    "linear.cg_bound/1",
)
OMEGA = np.array([1.0, 1.3, 1.6])


def chain(n, shift=0.3):
    return (2 + shift) * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def run_sor(matrix, rhs, omega, rtol):
    lower = np.diag(matrix.diagonal() / omega) + np.tril(matrix, -1)
    x, count = np.zeros_like(rhs), 0
    while np.linalg.norm(rhs - matrix @ x) > rtol * np.linalg.norm(rhs):
        x, count = x + np.linalg.solve(lower, rhs - matrix @ x), count + 1
    return count


def run_cg(matrix, rhs, omega, rtol):
    """The same method by another recurrence: CG on the split system."""
    x = np.diag(matrix.diagonal()) + omega * np.tril(matrix, -1)
    half = x / np.sqrt(matrix.diagonal())
    inner = np.linalg.inv(half)
    a, b = inner @ matrix @ inner.T, inner @ rhs
    y, r, count = np.zeros_like(b), b.copy(), 0
    p = r.copy()
    while np.linalg.norm(half @ r) > rtol * np.linalg.norm(rhs):
        length = (r @ r) / (p @ a @ p)
        y, new = y + length * p, r - length * (a @ p)
        p, r, count = new + (new @ new) / (r @ r) * p, new, count + 1
    return count


def audit(n=12, shift=0.3, seed=0, omega=OMEGA, matrix=None):
    matrix = chain(n, shift) if matrix is None else matrix
    n = len(matrix)
    rhs = np.random.default_rng(seed).normal(size=n)
    root = np.sqrt(matrix.diagonal())
    h = (np.diag(matrix.diagonal()) - matrix) / root / root[:, None]
    values, vectors = np.linalg.eigh(h)
    beta = values[-1]
    inside = omega**2 * beta**2 - 4 * (omega - 1)
    radius = (omega * beta + np.sqrt(np.maximum(inside, 0))) ** 2 / 4
    arrays = {"operator": matrix, "rhs": rhs, "relaxation": omega}
    value = {
        "sor_counts": np.array([run_sor(matrix, rhs, w, 1e-8) for w in omega]),
        "cg_counts": np.array([run_cg(matrix, rhs, w, 1e-8) for w in omega]),
        "sor_radius": np.where(inside >= 0, radius, omega - 1),
        "best_relaxation": np.array(1 + (beta / (1 + np.sqrt(1 - beta**2))) ** 2),
        "eigenvector": vectors[:, -1],
    }
    packed = Packed("linear.relaxation_audit/1", {"rtol": 1e-8}, arrays)
    return Case(packed, value, {"levels": np.arange(n)})


def test_a_chain_passes():
    case = audit()
    for claim, promised in ((YOUNG, 1e-6), (SURROGATE, 1.0), (BOUND, 1.0)):
        decision = decide(claim, promised, case)
        assert decision.holds, decision
    assert 0.5 < decide(SURROGATE, 1.0, case).measured  # not loose by accident


def test_enclosure_holds_the_true_radius():
    """beta of a chain is cos(pi / (n + 1)) 2 / (2 + c) exactly."""
    case = audit(n=9, shift=0.25)
    figures = decide(YOUNG, 1.0, case).figures
    before, flint.ctx.prec = flint.ctx.prec, 200
    try:
        beta = (flint.arb.pi() / 10).cos() * 2 / flint.arb(2.25)
    finally:
        flint.ctx.prec = before
    assert flint.arb(figures["beta_lower"]) <= beta <= flint.arb(figures["beta_upper"])
    assert figures["beta_upper"] - figures["beta_lower"] < 1e-12


@pytest.mark.parametrize("name", ["best_relaxation", "sor_radius"])
def test_wrong_young_figures_are_refused(name):
    case = audit()
    changed = np.array(case.value[name], copy=True)
    changed[...] += 1e-5
    forged = Case(case.problem, case.value | {name: changed}, case.witness)
    assert not decide(YOUNG, 1e-6, forged).holds


def test_wrong_eigenvector_is_refused():
    case = audit()
    vector = case.value["eigenvector"] + 0.1
    forged = Case(case.problem, case.value | {"eigenvector": vector}, case.witness)
    assert not decide(YOUNG, 1e-6, forged).holds


def test_ordering_is_checked():
    case = audit()
    levels = np.arange(12)
    levels[5] += 1
    for wrong in (levels, levels.astype("f8"), levels[:4]):
        forged = Case(case.problem, case.value, {"levels": wrong})
        assert not decide(YOUNG, 1e-6, forged).holds
        assert not decide(SURROGATE, 1.0, forged).holds


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("change", [-1, 1, 40])
def test_every_altered_sor_count_is_refused(place, change):
    case = audit()
    counts = case.value["sor_counts"].copy()
    counts[place] += change
    forged = Case(case.problem, case.value | {"sor_counts": counts}, case.witness)
    decision = decide(SURROGATE, 1.0, forged)
    assert not decision.holds
    assert "not shown to be the count" in decision.detail


@pytest.mark.parametrize("change", [-2, 2, 500])
def test_altered_cg_counts_are_refused(change):
    case = audit()
    counts = case.value["cg_counts"] + np.array([0, change, 0])
    forged = Case(case.problem, case.value | {"cg_counts": counts}, case.witness)
    assert not decide(BOUND, 1.0, forged).holds


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_cg_bound_on_random_definite_matrices(seed):
    """Theorem 7.17 needs no ordering; lam2 leaves [-1/4, 0], the bound holds."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(6, 6))
    matrix = a @ a.T + 0.05 * np.eye(6)
    matrix = (matrix + matrix.T) / 2
    decision = decide(BOUND, 1.0, audit(matrix=matrix, seed=seed))
    assert decision.holds, decision


def fraction_power(matrix, omega, exponent):
    """C^k in fractions, C = I - A (D / omega + L)^{-1}."""
    n = len(matrix)
    a = [[F(v) for v in row] for row in matrix.tolist()]
    main = [
        [a[i][j] if j < i else a[i][i] / F(omega) if i == j else F(0) for j in range(n)]
        for i in range(n)
    ]
    inverse = [[F(0)] * n for _ in range(n)]
    for j in range(n):
        for i in range(n):
            rest = sum(main[i][k] * inverse[k][j] for k in range(i))
            inverse[i][j] = (F(int(i == j)) - rest) / main[i][i]

    def product(p, q):
        return [
            [sum(p[i][k] * q[k][j] for k in range(n)) for j in range(n)]
            for i in range(n)
        ]

    ab = product(a, inverse)
    base = [[F(int(i == j)) - ab[i][j] for j in range(n)] for i in range(n)]
    result = base
    for _ in range(exponent - 1):
        result = product(result, base)
    return result


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 1.9),
    st.integers(1, 9),
    st.booleans(),
)
def test_power_is_within_its_bound(seed, omega, exponent, enclosed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(3, 3))
    matrix = a + a.T + 4 * np.eye(3) * np.abs(a).max()
    matrix = (matrix + matrix.T) / 2
    case = Audit(matrix, rng.normal(size=3), np.array([omega]), 1e-8)
    if enclosed:
        found, _ = enclosed_powers(case, omega, exponent)
    else:
        found = power(iteration_matrix(case, omega), exponent)
    exact = fraction_power(matrix, omega, exponent)
    pairs = zip(found.matrix.tolist(), exact, strict=True)
    off = [F(f) - e for row in pairs for f, e in zip(*row, strict=True)]
    # Frobenius bounds the spectral norm from above, by sqrt(3) at most
    assert sum(v * v for v in off) <= 3 * F(found.error) ** 2


@pytest.mark.parametrize("claim", [YOUNG, SURROGATE, BOUND])
@pytest.mark.parametrize(
    "spoil",
    [
        {"operator": chain(12)[:, :11]},
        {"operator": chain(12) + np.eye(12, k=1)},
        {"operator": chain(12) * np.nan},
        {"rhs": np.zeros(12)},
        {"relaxation": np.array([1.0, 2.0, 1.5])},
        {"relaxation": np.zeros(0)},
    ],
)
def test_malformed_audit_never_holds(claim, spoil):
    case = audit()
    broken = case.problem._replace(arrays=case.problem.arrays | spoil)
    assert not decide(claim, 1e300, Case(broken, case.value, case.witness)).holds


def test_indefinite_audit_never_holds():
    case = audit()
    broken = case.problem._replace(
        arrays=case.problem.arrays | {"operator": chain(12, -1.0)}
    )
    for claim in (YOUNG, SURROGATE, BOUND):
        assert not decide(claim, 1e300, Case(broken, case.value, case.witness)).holds
