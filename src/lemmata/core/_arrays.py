"""Arrays at the border: NumPy float64 where the user stands, JAX inside the driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

AnyArray = np.ndarray | jax.Array
"""NumPy where the user stands, JAX inside the driver: for annotations of fields."""

_ALIGNMENT = 64  # bytes; from there XLA on a CPU keeps NumPy's memory in place
_SMALL = 2**16  # bytes below which copies cost nothing


def array64(value: Any) -> Any:
    """Converter for array fields: real numbers become float64, NumPy unless traced.

    Whatever is not numeric (complex, text, objects) passes unchanged, so that
    `validate` can refuse it by name.
    """
    if isinstance(value, Tracer):
        return value
    if isinstance(value, jax.Array) and value.dtype == jnp.float64:
        return value if is_x64() else np.asarray(value)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return value
    if array.dtype.kind in "biuf":
        return np.asarray(array, dtype=np.float64)
    return array


def is_x64() -> bool:
    """Whether the caller stands inside `jax.enable_x64(True)`."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def is_concrete(tree: Any) -> bool:
    """Whether no leaf of the tree is traced."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


@contextmanager
def float64() -> Iterator[None]:
    """Everything inside computes in float64; the global setting is left alone."""
    with jax.enable_x64(True):
        yield


def to_jax(tree: Any) -> Any:
    """Array and Python float leaves become JAX arrays, floats in float64.

    Floats must be arrays, since as static values each new tolerance would recompile.
    """

    def convert(leaf: Any) -> Any:
        if isinstance(leaf, float | np.floating):
            return jnp.asarray(leaf, dtype=jnp.float64)
        return _placed(leaf) if isinstance(leaf, np.ndarray) else leaf

    return jax.tree.map(convert, tree)


def _placed(array: np.ndarray) -> jax.Array:
    """As `jnp.array`, by NumPy's copy into memory that JAX then keeps as it is.

    NumPy asks for huge pages: its copy takes a fifth of the time of JAX's. The caller's
    own memory is never shared, even where it is aligned: answers may hold on to it.
    """
    if array.nbytes < _SMALL:
        return jnp.asarray(array)
    memory = np.empty(array.nbytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    flat = memory[start : start + array.nbytes].view(array.dtype)
    aligned = flat.reshape(array.shape)
    np.copyto(aligned, array)
    return jax.device_put(aligned, may_alias=True)


def to_numpy(tree: Any) -> Any:
    """JAX array leaves become NumPy arrays, random keys their integers."""
    return jax.tree.map(_plain, tree)


def _plain(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf) if eqx.is_array(leaf) else leaf
