"""Arrays at the border: the same numbers, copied once, whatever their layout."""

import jax
import numpy as np
import pytest

from lemmata.core import to_jax

ROWS, COLUMNS = 200, 300  # beyond what is too small to matter


def aligned():
    memory = np.empty(8 * ROWS * COLUMNS + 64, np.uint8)
    start = -memory.ctypes.data % 64
    array = memory[start : start + 8 * ROWS * COLUMNS].view(np.float64)
    array[:] = np.arange(array.size)
    return array.reshape(ROWS, COLUMNS)


@pytest.mark.parametrize(
    "make",
    [
        aligned,
        lambda: np.asfortranarray(aligned()),
        lambda: aligned()[1:, 1:],
        lambda: aligned().astype(np.int64),
        lambda: np.arange(5.0),
    ],
)
def test_numbers_shapes_and_types_survive(make):
    array = make()
    with jax.enable_x64(True):
        (found,) = to_jax((array,))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("make", [aligned, lambda: np.asfortranarray(aligned()[1:])])
def test_numbers_do_not_change_with_their_source(make):
    """Aligned or not: what was handed in may be overwritten afterwards."""
    array = make()
    with jax.enable_x64(True):
        found = to_jax(array)
    before = array.copy()
    array[:] = 0.0
    np.testing.assert_array_equal(found, before)


def test_the_copy_is_jaxs_own_memory():
    """Handed over, not copied a second time."""
    with jax.enable_x64(True):
        assert to_jax(aligned()[1:]).unsafe_buffer_pointer() % 64 == 0
