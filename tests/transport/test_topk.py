"""topk_simplex and the two duals, against brute force over supports."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.transport._topk import Oriented, joint_dual, semi_dual, topk_simplex

GAMMA = 0.7


def brute_force(s, mass, cap):
    """The best value over all supports of cap entries, each solved by itself.

    tau = max_r (sum of the r largest - gamma * mass) / r solves the condition
    sum [s - tau]_+ = gamma * mass (Held, Wolfe, Crowder 1974).
    """
    supports = np.array(list(itertools.combinations(range(s.size), cap)))
    part = -np.sort(-s[supports], axis=1)
    levels = (np.cumsum(part, axis=1) - GAMMA * mass) / np.arange(1, cap + 1)
    t = np.maximum(part - levels.max(axis=1, keepdims=True), 0) / GAMMA
    return np.max(np.sum(part * t - GAMMA / 2 * t**2, axis=1))


@pytest.fixture(scope="module")
def found():
    """500 vectors of length 10, each at every cap, by one compiled program."""
    rng = np.random.default_rng(0)
    scores, mass = rng.normal(size=(500, 10)), rng.uniform(0.05, 3.0, size=500)
    # Shorter vectors are vectors with forbidden ends.
    lengths = rng.integers(1, 11, size=500)
    scores[np.arange(10) >= lengths[:, None]] = -np.inf
    scores[::7, 1] = scores[::7, 0]  # ties
    with jax.enable_x64(True):
        run = jax.jit(lambda s, b, k: topk_simplex(s, b, GAMMA, 10, k))
        results = {
            k: jax.tree.map(np.asarray, run(jnp.asarray(scores), jnp.asarray(mass), k))
            for k in range(1, 11)
        }
    return scores, mass, lengths, results


def test_equals_brute_force_over_supports(found):
    scores, mass, lengths, results = found
    for row, length in enumerate(lengths):
        s = scores[row, :length]
        if not np.all(np.isfinite(s)):  # the tie copied a forbidden entry
            continue
        for cap in range(1, length + 1):
            value = results[cap].value[row]
            # 1e-12: some ten operations on numbers of size 10.
            assert abs(value - brute_force(s, mass[row], cap)) <= 1e-12 * (
                1 + abs(value)
            )


def test_mass_is_exact_sparse_and_attains_the_value(found):
    scores, mass, _, results = found
    for cap, topk in results.items():
        assert np.max(np.sum(topk.mass > 0, axis=1)) <= cap
        assert np.all(topk.mass >= 0)
        # Sums of ten numbers.
        np.testing.assert_allclose(topk.mass.sum(axis=1), mass, rtol=1e-14)
        s = np.take_along_axis(scores, topk.indices, axis=1)
        used = np.where(topk.mass > 0, s, 0.0)
        value = (used * topk.mass).sum(1) - GAMMA / 2 * (topk.mass**2).sum(1)
        np.testing.assert_allclose(topk.value, value, rtol=1e-12, atol=1e-12)


def test_static_and_traced_cap_agree_and_ties_take_the_lowest_index():
    scores, mass = np.zeros((1, 6)), np.ones(1)
    with jax.enable_x64(True):
        static = topk_simplex(jnp.asarray(scores), jnp.asarray(mass), GAMMA, 3)
        traced = topk_simplex(jnp.asarray(scores), jnp.asarray(mass), GAMMA, 6, 3)
    assert static.indices.tolist() == [[0, 1, 2]]
    np.testing.assert_array_equal(static.mass, traced.mass[:, :3])
    assert not np.any(traced.mass[:, 3:])


def test_gradients_are_those_of_the_values():
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        data = Oriented(
            cost=jnp.asarray(rng.normal(size=(5, 6))),
            free=jnp.full(6, 1 / 6),
            capped=jnp.full(5, 1 / 5),
            gamma=jnp.asarray(GAMMA),
            cap=3,
        )
        alpha, beta = (jnp.asarray(rng.normal(size=k)) for k in (6, 5))
        check = jax.grad(lambda x: semi_dual(data, x).value)(alpha)
        # Automatic differentiation of the value: rounding only.
        np.testing.assert_allclose(semi_dual(data, alpha).gradient, check, atol=1e-14)
        _, *both = joint_dual(data, alpha, beta)
        checks = jax.grad(lambda x, y: joint_dual(data, x, y)[0], (0, 1))(alpha, beta)
        for got, want in zip(both, checks, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-14)


def test_the_semi_dual_is_the_dual_maximised_over_the_other_potential():
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        data = Oriented(
            cost=jnp.asarray(rng.normal(size=(4, 6))),
            free=jnp.full(6, 1 / 6),
            capped=jnp.full(4, 1 / 4),
            gamma=jnp.asarray(GAMMA),
            cap=2,
        )
        alpha = jnp.asarray(rng.normal(size=6))
        at = semi_dual(data, alpha)
        joint = joint_dual(data, alpha, -at.topk.threshold)
    assert float(joint[0]) == pytest.approx(float(at.value), abs=1e-13)
    assert np.max(np.abs(joint[2])) <= 1e-14
