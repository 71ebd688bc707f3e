"""Gradient rows of any differentiable model, in at most as many columns as rows.

Only products with per-sample gradients are used: blocks of rows are made by
`vmap(grad)`, and where all of them do not fit, their Gram matrix is built block by
block. A p x p matrix never exists.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..core import InvalidProblem, float64, to_jax

MEMORY = 2**30  # bytes of gradient rows held at once
_WHERE = "SGDStability"


def outputs_of(
    model: Callable[..., Any], params: Any, inputs: np.ndarray, outputs: int | None
) -> np.ndarray:
    """Outputs of the model, shape (n, K).

    **Raises:** `InvalidProblem` if the output is no number and `outputs` does not say
    how many it has, or if the model cannot be evaluated.
    """
    with float64():
        params, samples = to_jax(params), jnp.asarray(inputs)
        try:
            found = jax.eval_shape(model, params, samples[0])
        except (TypeError, ValueError) as error:
            expected = "a function of (params, one input) that JAX can trace"
            raise InvalidProblem(f"{_WHERE}.model", expected, repr(error)) from error
        shape = getattr(found, "shape", None)
        if shape != () and (outputs is None or shape != (outputs,)):
            expected = "a number for each sample, or outputs=K for a vector (K,)"
            raise InvalidProblem(f"{_WHERE}.outputs", expected, f"shape {shape}")
        values = jax.jit(jax.vmap(model, (None, 0)))(params, samples)
        return np.asarray(values).reshape(len(inputs), -1)


def gradient_rows(
    model: Callable[..., Any], params: Any, inputs: np.ndarray, memory: int = MEMORY
) -> np.ndarray:
    """Rows with the inner products of the gradients, shape (n, K, q), q <= n K or p.

    Where p exceeds the number of rows, they are expressed in an orthonormal basis of
    their span: thin SVD if the rows fit into `memory` bytes, else the eigenvectors of
    their Gram matrix, built in blocks (relative accuracy 1e-8 instead of 1e-15).
    """
    with float64():
        flat, restore = ravel_pytree(to_jax(params))
        samples = jnp.asarray(inputs)
        block_of = jax.jit(partial(_block, model, restore))
        count = 8 * flat.size
        outputs = block_of(flat, samples[:1]).shape[1]
        total = len(inputs) * outputs
        if flat.size * total * 8 <= memory:
            size = max(1, min(len(inputs), memory // (8 * count * outputs)))
            blocks = [
                np.asarray(block_of(flat, samples[i : i + size]))
                for i in range(0, len(inputs), size)
            ]
            return reduced(np.concatenate(blocks))
        size = max(1, memory // (2 * count * outputs))
        return _from_gram(block_of, flat, samples, size, outputs)


def _block(model: Any, restore: Any, flat: Any, inputs: Any) -> Any:
    """Gradients of a block of samples, (b, K, p)."""

    def output(flat, x):
        return jnp.atleast_1d(model(restore(flat), x))

    return jax.vmap(jax.jacrev(output), (None, 0))(flat, inputs)


def reduced(rows: np.ndarray) -> np.ndarray:
    """(n, K, p) -> (n, K, min(p, nK)) with the same inner products."""
    n, outputs, p = rows.shape
    if p <= n * outputs:
        return rows
    flat = rows.reshape(n * outputs, p)
    if not np.all(np.isfinite(flat)):
        return rows
    # R'Q' = rows: the triangle alone has the inner products.
    triangle: Any = np.linalg.qr(flat.T, mode="r")
    left, size, _ = np.linalg.svd(triangle.T)
    return (left * size).reshape(n, outputs, -1)


def _from_gram(
    block_of: Any, flat: Any, inputs: Any, size: int, outputs: int
) -> np.ndarray:
    n = len(inputs)
    gram = np.empty((n * outputs, n * outputs))
    starts = range(0, n, size)
    for i in starts:
        one = block_of(flat, inputs[i : i + size])
        one = one.reshape(-1, flat.size)
        here = slice(i * outputs, i * outputs + len(one))
        gram[here, here] = one @ one.T
        for j in starts:
            if j > i:
                two = block_of(flat, inputs[j : j + size]).reshape(-1, flat.size)
                there = slice(j * outputs, j * outputs + len(two))
                gram[here, there] = one @ two.T
                gram[there, here] = gram[here, there].T
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1]
    # What lies below is rounding of the Gram matrix itself.
    floor = len(gram) * np.finfo(float).eps * values[order[0]]
    kept = order[values[order] > floor]
    factor = vectors[:, kept] * np.sqrt(values[kept])
    return factor.reshape(n, outputs, -1)
