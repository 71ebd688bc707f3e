"""Arrays at the border: the same numbers, copied at most once, in place if aligned."""

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


def test_aligned_arrays_are_not_copied():
    array = aligned()
    with jax.enable_x64(True):
        assert to_jax(array).unsafe_buffer_pointer() == array.ctypes.data


def test_other_arrays_do_not_change_with_their_source():
    array = aligned()[1:]
    with jax.enable_x64(True):
        found = to_jax(np.asfortranarray(array))
    before = array.copy()
    array[:] = 0.0
    np.testing.assert_array_equal(found, before)
