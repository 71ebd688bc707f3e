"""Options and keys as JSON, for certificates, checkpoints and reports."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ._errors import InvalidArgument


def describe(module: Any) -> Any:
    """A module of options as nested JSON: `{"kind": name, option: value, ...}`.

    A module of many numbers may have `described()` say it in fewer (a digest).
    """
    if isinstance(module, eqx.Module):
        described = getattr(module, "described", None)
        if described is not None:  # a network: architecture and digest
            return described()
        options = {
            field.name: describe(getattr(module, field.name))
            for field in dataclasses.fields(module)
        }
        return {"kind": type(module).__name__} | options
    if eqx.is_array(module) or isinstance(module, np.ndarray | np.generic):
        return np.asarray(module).tolist()
    if isinstance(module, tuple | list):
        return [describe(item) for item in module]
    if callable(module):
        return f"{module.__module__}.{module.__qualname__}"
    return module


def as_key(key: Any) -> tuple[Any, int | list[int]]:
    """A JAX key and its recorded form, from None (meaning 0), an integer or a key."""
    if key is None:
        key = 0
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        if not 0 <= int(key) < 2**32:
            raise InvalidArgument("solve.key", "an integer in [0, 2**32)", key)
        return jax.random.key(int(key)), int(key)
    if isinstance(key, jax.Array):
        if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
            return key, np.asarray(jax.random.key_data(key)).tolist()
        return jax.random.wrap_key_data(key), np.asarray(key).tolist()
    raise InvalidArgument(
        "solve.key", "None, an integer or a JAX random key", repr(key)
    )
