"""Policies: their sub-problems against SciPy, and what they learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import brentq, lsq_linear

import lemmata as lm
from lemmata.linear import (
    EXP3,
    SOR,
    BinnedTsallisINF,
    ChebCB,
    ExploreThenCommit,
    FixedRelaxation,
    GoldenSection,
    LearnedRelaxation,
    PlayPolicy,
    RelaxationTable,
    TsallisINF,
    YoungRelaxation,
    shifted_laplacian,
    square_laplacian,
)
from lemmata.linear._box_regression import box_least_squares
from lemmata.linear._policy import Round
from lemmata.linear._tsallis import tsallis_weights

weights_of = jax.jit(tsallis_weights)
regress = jax.jit(box_least_squares)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(-4, 6),
    st.floats(1, 1e5),
)
def test_tsallis_weights_solve_their_equation(seed, magnitude, rounds):
    scaled = np.random.default_rng(seed).uniform(size=7) * 10.0**magnitude
    rate = 2 / np.sqrt(rounds)
    with jax.enable_x64(True):
        weights, x = map(np.asarray, weights_of(scaled, rate))

    def excess(gap):  # from the other side, in the distance to the least sum
        return np.sum(4 / (rate * (scaled - scaled.min() + gap)) ** 2) - 1

    gap = brentq(excess, 1e-12, 2 / rate * 7, xtol=1e-300, rtol=1e-14)
    expected = 4 / (rate * (scaled - scaled.min() + gap)) ** 2
    # x itself is rounded by u |x|, which the smallest distance feels
    room = 1e-9 + 8 * np.finfo(float).eps * abs(x) / gap
    np.testing.assert_allclose(weights, expected, rtol=room)
    assert x < scaled.min()


@pytest.mark.parametrize("seed", range(12))
def test_regression_in_a_box_is_solved_not_clipped(seed):
    rng = np.random.default_rng(seed)
    design, target = rng.normal(size=(30, 5)), rng.normal(size=30) * 3
    design[:, 4] = design[:, 3] + 0.1 * rng.normal(size=30)  # correlated
    limits = rng.uniform(0.05, 0.6, size=5)
    with jax.enable_x64(True):
        found = np.asarray(regress(design.T @ design, design.T @ target, limits))
    expected = lsq_linear(design, target, (-limits, limits), tol=1e-14).x
    # a ridge of 1e-9, times the condition of the sums, about 400
    np.testing.assert_allclose(found, expected, atol=1e-6)
    clipped = np.clip(np.linalg.lstsq(design, target)[0], -limits, limits)
    cost = [np.sum((design @ t - target) ** 2) for t in (found, clipped)]
    assert cost[0] < cost[1] - 1e-6


def test_regression_without_active_limits_has_least_norm():
    """Three samples, five unknowns."""
    rng = np.random.default_rng(5)
    design, target = rng.normal(size=(3, 5)), rng.normal(size=3)
    with jax.enable_x64(True):
        found = np.asarray(
            regress(design.T @ design, design.T @ target, np.full(5, 1e3))
        )
    # the ridge of 1e-9 leaves that share; rounding in the null space 1e-16 / 1e-9
    np.testing.assert_allclose(found, np.linalg.pinv(design) @ target, atol=1e-6)


def test_features_are_chebyshevs():
    policy = ChebCB((-0.15, 0.45), degree=6)
    context = np.linspace(-0.15, 0.45, 9)
    with jax.enable_x64(True):
        found = np.stack([policy.features(jnp.asarray(c)) for c in context])
    scaled = (context + 0.15) / 0.3 - 1
    expected = np.polynomial.chebyshev.chebvander(scaled, 5)
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_chebcb_update_by_hand():
    """Two rounds of the paper's algorithm 3 in its own units, K and N written out."""
    policy = ChebCB((0.0, 1.0), arms=(1.0, 1.5), degree=1)
    with jax.enable_x64(True):
        state, key = policy.start(), jax.random.key(0)
        losses = {0: 9.0, 1: 4.0}
        for arm in (0, 1):
            offer = Round(jnp.asarray(0.5), key, None, None)
            choice = policy.choose(state, offer)
            choice = type(choice).of((1.0, 1.5)[arm], arm, probability=0.5)
            state = policy.learn(state, choice, jnp.asarray(0.5), losses[arm])
    k, lip, t, d = 9.0, 5.0, 2, 2
    n = 2 + 4 * lip / k
    theta = np.array([9.0, 4.0]) / (k * n)
    np.testing.assert_allclose(np.asarray(state.theta)[:, 0] / (k * n), theta)
    alpha = (np.pi + 2 / np.pi * np.log(3)) * lip / (2 * k * n * 2)
    errors = (81 + 16) / (k * n) ** 2
    eta = 2 * t * np.sqrt(d * t / (errors - 0 + 2 * alpha**2 * t))
    # the regression's ridge leaves 1e-9
    np.testing.assert_allclose(float(state.rate), eta, rtol=1e-7)
    gap = theta[0] - theta[1]
    with jax.enable_x64(True):
        draws = [
            policy.choose(state, Round(jnp.asarray(0.5), jax.random.key(i), None, None))
            for i in range(40)
        ]
    seen = {int(c.arm): float(c.probability) for c in draws}
    assert seen[0] == pytest.approx(1 / (2 + eta * gap), rel=1e-7)
    assert seen[0] + seen[1] == pytest.approx(1)


def test_young_relaxation_minimises_the_spectral_radius():
    matrix = square_laplacian(4).toarray()
    radius = np.cos(np.pi / 5)
    with jax.enable_x64(True):
        offer = Round(jnp.zeros(()), None, lambda: jnp.asarray(radius), None)
        best = float(YoungRelaxation().choose(None, offer).relaxation)

    def rho(omega):
        lower = np.diag(matrix.diagonal() / omega) + np.tril(matrix, -1)
        step = np.eye(16) - matrix @ np.linalg.inv(lower)
        return np.abs(np.linalg.eigvals(step)).max()

    grid = np.linspace(1, 1.95, 191)
    assert abs(grid[np.argmin([rho(w) for w in grid])] - best) < 0.01


def test_golden_section_finds_a_minimum_beside_a_plateau():
    def cost(omega):
        slope = jnp.where(omega < 1.62, 40 * (1.62 - omega), 90 * (omega - 1.62))
        return jnp.floor(20 + slope).astype(jnp.int64)

    with jax.enable_x64(True):
        offer = Round(jnp.zeros(()), None, None, cost)
        found = GoldenSection().choose(jnp.zeros(()), offer)
        assert int(cost(found.relaxation)) == 20


def table(rounds=400, gap=20):
    """Arm 1 of 3 is cheaper by `gap` on average."""
    rng = np.random.default_rng(0)
    counts = rng.integers(40, 60, size=(rounds, 3))
    counts[:, 1] -= gap
    return RelaxationTable(counts, [1.0, 1.4, 1.8])


@pytest.mark.parametrize(
    ("policy", "share"),
    [
        (TsallisINF((1.0, 1.4, 1.8)), 0.7),
        (BinnedTsallisINF((-1.0, 1.0), (1.0, 1.4, 1.8), bins=2), 0.7),
        (EXP3((1.0, 1.4, 1.8)), 0.5),
        (ExploreThenCommit((1.0, 1.4, 1.8), pulls=5), 0.95),
        (ChebCB((-1.0, 1.0), (1.0, 1.4, 1.8), degree=2), 0.7),
    ],
    ids=lambda v: type(v).__name__ if not isinstance(v, float) else "",
)
def test_bandits_find_the_cheap_arm(policy, share):
    problem = table()
    value = lm.solve(problem, PlayPolicy(policy, trials=4), throw=False).value
    late = value.arms[:, 200:]
    assert np.mean(late == 1) > share
    assert len(np.unique(value.arms[:, :60])) == 3  # it did explore


def test_trials_and_rounds_have_keys_of_their_own():
    value = lm.solve(table(40), PlayPolicy(TsallisINF((1.0, 1.4, 1.8)), trials=3)).value
    assert not np.array_equal(value.arms[0], value.arms[1])
    again = lm.solve(table(40), PlayPolicy(TsallisINF((1.0, 1.4, 1.8)), trials=3)).value
    np.testing.assert_array_equal(value.arms, again.arms)


HIGH, LOW = (0.5, 1.5), (2.0, 6.0)


@pytest.mark.slow
@pytest.mark.parametrize("concentration", [HIGH, LOW], ids=["high", "low"])
def test_learners_on_the_papers_shifts(concentration):
    """T = 2,000, five seeds."""
    stream = shifted_laplacian(2000, concentration=concentration)

    def counts(policy, key=0):
        method = LearnedRelaxation(SOR(), policy)
        return lm.solve(stream, method, key=key).value.counts

    arms = np.linspace(1, 1.95, 20)
    fixed = [counts(FixedRelaxation(float(w))) for w in arms]
    best = min(fixed, key=np.sum)
    young = counts(YoungRelaxation())[-500:].mean()
    learned = [counts(ChebCB((-0.15, 0.45)), key) for key in range(5)]
    assert max(c.sum() for c in learned) <= best.sum()
    assert np.mean([c[-500:].mean() for c in learned]) <= 1.15 * young
    plain = [counts(TsallisINF(), key)[-500:].mean() for key in range(5)]
    assert np.mean(plain) <= 1.15 * best[-500:].mean()
    if concentration == HIGH:  # against Gauss-Seidel
        assert max(c.sum() for c in learned) <= 0.25 * fixed[0].sum()
