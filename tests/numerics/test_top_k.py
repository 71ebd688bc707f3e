"""The k largest, compared with a stable sort in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lemmata.numerics.top_k import top_k


def sorted_places(values, k):
    return np.argsort(-values, kind="stable")[:k]


SIZES = [(5, 5), (100, 1), (100, 3), (1003, 7), (4096, 64)]


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("ties", [False, True])
def test_values_and_places_are_those_of_a_stable_sort(n, k, ties):
    rng = np.random.default_rng(n + k)
    values = rng.integers(0, 4, n).astype(float) if ties else rng.normal(size=n)
    values[rng.choice(n, n // 3, replace=False)] = -np.inf
    with jax.enable_x64(True):
        best, place = jax.jit(top_k, static_argnums=1)(jnp.asarray(values), k)
    expected = sorted_places(values, k)
    np.testing.assert_array_equal(place, expected)
    np.testing.assert_array_equal(best, values[expected])


def test_lower_places_come_first_among_equals_of_different_groups():
    """Groups of 18: the one with the largest number comes second."""
    values = np.zeros(1000)
    values[[3, 5, 40, 41]] = 1.0, 5.0, 9.0, 1.0
    with jax.enable_x64(True):
        _, place = top_k(jnp.asarray(values), 3)
    np.testing.assert_array_equal(place, [40, 5, 3])
