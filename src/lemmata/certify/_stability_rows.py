"""Gradient rows of any differentiable model, in at most as many columns as rows.

Only products with per-sample gradients are used: blocks of rows are made by
`vmap(grad)`, and where all of them do not fit, their Gram matrix is built block by
block. A p x p matrix never exists.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
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
        params, samples = to_jax(params), jnp.asarray(inputs)
        block_of = partial(gradient_block, model, params)
        outputs, p = jax.eval_shape(block_of, samples[:1]).shape[1:]
        count = 8 * p
        if count * len(inputs) * outputs <= memory:
            size = max(1, min(len(inputs), memory // (8 * count * outputs)))
            blocks = [
                np.asarray(block_of(samples[i : i + size]))
                for i in range(0, len(inputs), size)
            ]
            return reduced(np.concatenate(blocks))
    return _from_gram(gram_matrix(model, params, inputs, memory), outputs)


def gram_matrix(
    model: Callable[..., Any], params: Any, inputs: np.ndarray, memory: int = MEMORY
) -> np.ndarray:
    """Inner products of all gradients, (n K, n K), in blocks within `memory` bytes."""
    with float64():
        params, samples = to_jax(params), jnp.asarray(inputs)
        block_of = partial(gradient_block, model, params)
        outputs, p = jax.eval_shape(block_of, samples[:1]).shape[1:]
        n, size = len(inputs), max(1, memory // (16 * p * outputs))
        gram = np.empty((n * outputs, n * outputs))
        for i in range(0, n, size):
            one = block_of(samples[i : i + size]).reshape(-1, p)
            here = slice(i * outputs, i * outputs + len(one))
            gram[here, here] = one @ one.T
            for j in range(i + size, n, size):
                two = block_of(samples[j : j + size]).reshape(-1, p)
                there = slice(j * outputs, j * outputs + len(two))
                gram[here, there] = one @ two.T
                gram[there, here] = gram[here, there].T
    return gram


@eqx.filter_jit
def gradient_block(model: Any, params: Any, inputs: Any) -> Any:
    """Gradients of a block of samples, (b, K, p)."""
    flat, restore = ravel_pytree(params)

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


def _from_gram(gram: np.ndarray, outputs: int) -> np.ndarray:
    values, vectors = np.linalg.eigh(gram)
    order = np.argsort(values)[::-1]
    # What lies below is rounding of the Gram matrix itself.
    floor = len(gram) * np.finfo(float).eps * values[order[0]]
    kept = order[values[order] > floor]
    factor = vectors[:, kept] * np.sqrt(values[kept])
    return factor.reshape(len(gram) // outputs, outputs, -1)
