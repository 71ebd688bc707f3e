"""Rules of the attention SVM: true in exact arithmetic, forged input refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed

LEAST, NONE = "geometry.least_norm/1", "geometry.no_separation/1"
RANK = "geometry.attention_rank/1"
LOCAL, NOT_LOCAL = "geometry.locally_optimal/1", "geometry.not_locally_optimal/1"
N, T, D = 3, 3, 4
few = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def packed(seed=0, norm="frobenius", shape=(N, T, D), **arrays):
    rng = np.random.default_rng(seed)
    n, t, d = shape
    found = {
        "tokens": rng.normal(size=shape),
        "queries": rng.normal(size=(n, d)),
        "selected": rng.integers(0, t, n),
        "lengths": np.full(n, t),
        "scores": rng.normal(size=(n, t)),
    }
    fields = {"norm": norm, "width": None, "gap_tol": 1e-8}
    return Packed("geometry.attention_svm/1", fields, found | arrays)


def matrices(problem):
    """A_it as exact fractions by place."""
    a = problem.arrays
    tokens, queries = (
        np.vectorize(Fraction, otypes=[object])(a[k]) for k in ("tokens", "queries")
    )
    return {
        (i, t): np.outer(tokens[i, s] - tokens[i, t], queries[i])
        for i, s in enumerate(a["selected"].tolist())
        for t in range(int(a["lengths"][i]))
        if t != s
    }


def inner(a, b) -> Fraction:
    return sum((a * b).reshape(-1).tolist(), Fraction(0))


def solution(problem, drop=None):
    """(W, mu): by projected coordinate ascent in floats, W scaled to margins of 1."""
    places = [k for k in matrices(problem) if k != drop]
    dense = {k: a.astype(float) for k, a in matrices(problem).items()}
    gram = np.array([[np.sum(dense[k] * dense[m]) for m in places] for k in places])
    mu = np.zeros(len(places))
    for _ in range(3000):
        for k in range(len(places)):
            mu[k] = max(0.0, mu[k] + (1 - gram[k] @ mu) / gram[k, k])
    weights = sum(m * dense[k] for m, k in zip(mu, places, strict=True))
    least = min(np.sum(dense[k] * weights) for k in places)
    full = np.zeros(problem.arrays["tokens"].shape[:2])
    for m, k in zip(mu, places, strict=True):
        full[k] = m
    return weights * (1 + 1e-12) / least, full


def case(problem, weights, mu, witness=None, **parameters):
    value = {"weights": weights, "multipliers": mu}
    return Case(problem, value=value, witness=witness or {}, parameters=parameters)


SOLVED = {seed: solution(packed(seed)) for seed in (0, 1, 2)}


@given(seeds, st.sampled_from(["frobenius", "nuclear"]))
@few
def test_excess_is_an_upper_bound_in_exact_arithmetic(seed, norm):
    """For any multipliers: ||W|| sum mu^-1 ||sum mu A||_dual - 1, by fractions."""
    rng = np.random.default_rng(seed)
    problem = packed(seed % 3, norm)
    mu = rng.random((N, T))
    mu[np.arange(N), problem.arrays["selected"]] = 0.0
    weights = SOLVED[seed % 3][0] + 0.01 * rng.normal(size=(D, D))
    a = matrices(problem)
    exact = np.vectorize(Fraction, otypes=[object])(weights)
    least = min(inner(m, exact) for m in a.values())
    found = decide(LEAST, 1e9, case(problem, weights, mu))
    if least < 1:
        assert not found.holds
        return
    combined = sum(Fraction(mu[k]) * m for k, m in a.items())
    total = sum(map(Fraction, mu.reshape(-1).tolist()))
    if norm == "frobenius":
        bound = total**2 / inner(combined, combined)
        excess = float(inner(exact, exact) / bound) ** 0.5 - 1
        assert excess * (1 - 1e-13) - 1e-14 <= found.measured
    else:
        values = np.linalg.svd(weights, compute_uv=False)
        top = np.linalg.norm(combined.astype(float), 2)
        excess = values.sum() * top / float(total) - 1
    assert found.measured == pytest.approx(excess, rel=1e-11, abs=1e-11)


@pytest.mark.parametrize("seed", SOLVED)
def test_solution_is_accepted_and_its_neighbours_are_not(seed):
    problem, (weights, mu) = packed(seed), SOLVED[seed]
    good = decide(LEAST, 1e-8, case(problem, weights, mu))
    assert good.holds
    assert good.measured < 1e-9
    assert not decide(LEAST, 1e-8, case(problem, weights * 0.999, mu)).holds
    assert not decide(LEAST, 1e-8, case(problem, weights * 1.001, mu)).holds
    places = np.argwhere(mu > 0)
    one, two = (tuple(k) for k in places[:2])
    swapped = mu.copy()
    swapped[one], swapped[two] = mu[two], mu[one]
    assert not decide(LEAST, 1e-8, case(problem, weights, swapped)).holds
    for i in range(N):
        other = problem.arrays["selected"].copy()
        other[i] = (other[i] + 1) % T
        changed = packed(seed, selected=other)
        assert not decide(LEAST, 1e-8, case(changed, weights, mu)).holds
    negative = mu.copy()
    negative[one] = -negative[one]
    assert not decide(LEAST, 1e-8, case(problem, weights, negative)).holds
    stray = mu.copy()
    stray[0, problem.arrays["selected"][0]] = 1.0
    assert not decide(LEAST, 1e-8, case(problem, weights, stray)).holds


def test_norm_floor_is_below_every_feasible_norm():
    """Scaled random weights that separate are never shorter than the bound."""
    problem, (weights, mu) = packed(0), SOLVED[0]
    floor = decide(LEAST, 1.0, case(problem, weights, mu)).figures["lower bound"]
    rng = np.random.default_rng(0)
    dense = [m.astype(float) for m in matrices(problem).values()]
    for _ in range(500):
        other = weights + 0.3 * rng.normal(size=(D, D))
        least = min(np.sum(m * other) for m in dense)
        if least > 0:
            assert np.linalg.norm(other) / least >= floor * (1 - 1e-12)


def surrounded(n=2, t=6, d=2, seed=0):
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=(n, t, d))
    tokens[:, 0] *= 0.01
    angles = 2 * np.pi * np.arange(5) / 5
    tokens[1, 1:] = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return packed(seed, shape=(n, t, d), tokens=tokens, selected=np.zeros(n, int))


def balanced(problem, i):
    """mu on input i with sum mu (x_0 - x_t) nearly zero, all positive."""
    differences = problem.arrays["tokens"][i, :1] - problem.arrays["tokens"][i, 1:]
    system = np.vstack([differences.T, np.ones(len(differences))])
    mu = np.zeros(problem.arrays["tokens"].shape[:2])
    mu[i, 1:] = np.linalg.lstsq(system, np.array([0.0, 0.0, 1.0]), rcond=None)[0]
    assert np.all(mu[i, 1:] > 0)
    return mu


def test_impossible_selections():
    problem = surrounded()
    mu, zero = balanced(problem, 1), np.zeros((2, 2))
    found = decide(NONE, 1e-9, case(problem, zero, mu))
    assert found.holds
    assert found.measured == 0.0
    # far from balanced: no such change of mu, and the residual is what it is
    off = mu.copy()
    off[1, 1] *= 3
    combined = sum(off[k] * m.astype(float) for k, m in matrices(problem).items())
    rough = decide(NONE, 1e-9, case(problem, zero, off))
    assert not rough.holds
    residual = np.linalg.norm(combined) / off.sum()
    assert residual <= rough.measured <= residual * (1 + 1e-12)
    assert not decide(NONE, 1e9, case(problem, zero, 0 * mu)).holds


def test_possible_selections_are_never_called_impossible():
    for seed, (weights, mu) in SOLVED.items():
        found = decide(NONE, 1e-9, case(packed(seed), weights, mu))
        assert not found.holds
        # 1 / measured is a norm that feasible weights must have
        assert found.measured >= 1 / np.linalg.norm(weights) * (1 - 1e-12)


def test_rank_is_within_its_distance():
    problem, (weights, mu) = packed(0), SOLVED[0]
    values = np.linalg.svd(weights, compute_uv=False)
    for r in (1, 2, 3):
        found = decide(RANK, 1e-10, case(problem, weights, mu, rank=r))
        share = np.linalg.norm(values[r:]) / np.linalg.norm(values)
        assert share * (1 - 1e-12) <= found.measured <= share + 1e-13
    assert found.holds
    assert not decide(RANK, 2.0, case(problem, weights, mu, rank=4)).holds
    for bad in (0, 5, True, 1.0, None):
        assert not decide(RANK, 2.0, case(problem, weights, mu, rank=bad)).holds
    narrow = Packed(problem.kind, problem.json | {"width": 2}, problem.arrays)
    assert not decide(RANK, 2.0, case(narrow, weights, mu, rank=3)).holds


def test_local_optimality_is_that_of_the_support():
    for seed, (weights, mu) in SOLVED.items():
        problem = packed(seed)
        a = {k: m.astype(float) for k, m in matrices(problem).items()}
        support = [k for k, m in a.items() if np.sum(m * weights) < 1 + 1e-6]
        for shift in (-1.0, 1.0):
            scores = problem.arrays["scores"].copy()
            rows = np.arange(N), problem.arrays["selected"]
            scores[rows] = max(scores[k] for k in support) + shift * 0.25
            changed = packed(seed, scores=scores)
            leads = [scores[k[0], rows[1][k[0]]] - scores[k] for k in support]
            found = decide(LOCAL, 1e-3, case(changed, weights, mu))
            assert found.holds == (min(leads) >= 1e-3)
            assert found.measured == pytest.approx(min(leads), abs=1e-12)
            if min(leads) >= 0:
                continue
            place = support[int(np.argmin(leads))]
            if mu[place] < 1e-3:
                continue
            shorter, _ = solution(changed, drop=place)
            token = [int(k) for k in place]
            against = case(changed, weights, mu, {"without": shorter}, token=token)
            assert decide(NOT_LOCAL, 1e-9, against).holds
            # a lower score makes no case, nor does a constraint that is not needed
            assert not decide(
                NOT_LOCAL,
                1e-9,
                case(changed, weights, mu, {"without": weights * 2}, token=token),
            ).holds


def test_not_local_needs_a_score_that_is_not_lower():
    problem, (weights, mu) = packed(0), SOLVED[0]
    place = tuple(np.argwhere(mu > 1e-3)[0])
    shorter, _ = solution(problem, drop=place)
    scores = problem.arrays["scores"].copy()
    chosen = place[0], problem.arrays["selected"][place[0]]
    for lead, holds in ((0.1, False), (0.0, True), (-0.1, True)):
        scores[chosen] = scores[place] + lead
        changed = packed(0, scores=scores)
        token = [int(k) for k in place]
        against = case(changed, weights, mu, {"without": shorter}, token=token)
        assert decide(NOT_LOCAL, 1e-9, against).holds == holds
    for bad in ([0], [9, 0], ["0", 1], None, [True, 0], [0, int(chosen[1])]):
        against = case(changed, weights, mu, {"without": shorter}, token=bad)
        assert not decide(NOT_LOCAL, -1e9, against).holds


@pytest.mark.parametrize("fault", ["tokens", "queries", "selected", "lengths", "kind"])
def test_hostile_problems_never_hold(fault):
    problem, (weights, mu) = packed(0), SOLVED[0]
    arrays, kind = dict(problem.arrays), problem.kind
    if fault == "kind":
        kind = "geometry.other/1"
    elif fault in ("tokens", "queries"):
        arrays[fault] = arrays[fault] * np.nan
    else:
        arrays[fault] = arrays[fault] + 9
    changed = Packed(kind, problem.json, arrays)
    for claim in (LEAST, NONE, RANK, LOCAL):
        assert not decide(claim, 1e9, case(changed, weights, mu, rank=3)).holds
    if fault != "kind":
        del arrays[fault]
        gone = Packed(kind, problem.json, arrays)
        assert not decide(LEAST, 1e9, case(gone, weights, mu)).holds
