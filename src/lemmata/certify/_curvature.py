"""Products of a Hessian, or of its Gauss-Newton part, and what they tell of it.

Sources: Pearlmutter (1994) for the products; Hutchinson (1990) and Meyer, Musco, Musco
and Woodruff (2021) for traces.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ..core import InvalidArgument, float64, to_jax

Product = Callable[[np.ndarray], np.ndarray]
BLOCK = 16  # vectors multiplied at once


def hessian_product(
    model: Callable[..., Any],
    params: Any,
    inputs: Any,
    targets: Any,
    *,
    gauss_newton: bool = False,
    chunk: int = 1024,
) -> tuple[Product, int]:
    """The map v -> H v of the square loss, and the number p of parameters.

    **Arguments:**

    - `model`, `params`, `inputs`, `targets`: as for `SGDStability`.
    - `gauss_newton`: G instead of the full Hessian.
    - `chunk`: samples differentiated at once.

    **Returns:** a function of a vector (p,) or of columns (p, m) in float64, compiled
    once per model and shape; and p.
    """
    with float64():
        params = to_jax(params)
        size = sum(leaf.size for leaf in jax.tree.leaves(params))
        pieces = _pieces(inputs, targets, chunk)
    n = len(inputs)

    def rows(block: np.ndarray) -> np.ndarray:
        parts = (_rows(model, params, block, x, y, gauss_newton) for x, y in pieces)
        return np.asarray(sum(parts)) / n

    def product(vectors: np.ndarray) -> np.ndarray:
        vectors = np.asarray(vectors, dtype=np.float64)
        with float64():
            if vectors.ndim == 1:
                return rows(vectors[None])[0]
            short = -vectors.shape[1] % BLOCK
            padded = np.pad(vectors.T, ((0, short), (0, 0)))
            found = [rows(padded[i : i + BLOCK]) for i in range(0, len(padded), BLOCK)]
            return np.concatenate(found)[: vectors.shape[1]].T

    return product, size


@eqx.filter_jit
def _rows(
    model: Any, params: Any, vectors: Any, x: Array, y: Array, gauss_newton: bool
) -> Array:
    """Sums over samples of the products with rows (m, p)."""
    flat, restore = ravel_pytree(params)

    def outputs(w):
        return jax.vmap(model, (None, 0))(restore(w), x).reshape(len(x), -1)

    def loss(w):
        return jnp.sum((outputs(w) - y) ** 2) / 2

    def full(v):
        return jax.jvp(jax.grad(loss), (flat,), (v,))[1]

    def outer(v):
        along = jax.jvp(outputs, (flat,), (v,))[1]
        return jax.vjp(outputs, flat)[1](along)[0]

    return jax.vmap(outer if gauss_newton else full)(vectors)


def _pieces(inputs: Any, targets: Any, chunk: int) -> list[tuple[Any, Any]]:
    x = np.asarray(inputs, dtype=np.float64)
    y = np.asarray(targets, dtype=np.float64).reshape(len(x), -1)
    return [
        (jnp.asarray(x[i : i + chunk]), jnp.asarray(y[i : i + chunk]))
        for i in range(0, len(x), chunk)
    ]


def top_eigenvalue(
    product: Product, size: int, *, rtol: float = 1e-9, key: int = 0
) -> tuple[float, float]:
    """The largest eigenvalue of a symmetric product, and the residual ||Hv - lv||.

    An eigenvalue lies within the residual of the one returned: ARPACK's to `rtol`, or,
    where ARPACK fails, the Rayleigh quotient of a random vector. Below three dimensions
    the matrix is formed.
    """
    vector = np.random.default_rng(key).normal(size=size)
    vector /= np.linalg.norm(vector)
    if size < 3:
        vector = np.linalg.eigh(product(np.eye(size)))[1][:, -1]
    else:
        operator: Any = _Operator(product, size)
        tolerance: Any = rtol
        try:
            found: Any = eigsh(operator, 1, which="LA", v0=vector, tol=tolerance)
            vector = found[1][:, 0]
        except ArpackError:
            pass
    image = product(vector)
    value = float(vector @ image)
    return value, float(np.linalg.norm(image - value * vector))


class _Operator(LinearOperator):
    def __init__(self, product: Product, size: int) -> None:
        self.product = product
        super().__init__(np.dtype(np.float64), (size, size))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self.product(x.reshape(-1))


def trace_estimate(
    product: Product,
    size: int,
    *,
    products: int = 90,
    deflate: bool = True,
    confidence: float = 0.95,
    key: int = 0,
) -> tuple[float, float]:
    """(trace, half-width): Hutchinson's estimate from random signs, or Hutch++.

    Hutch++ (`deflate`) spends a third of the products on a basis of the range, takes
    the trace there exactly and estimates the rest. The half-width is that of the
    central limit theorem: an approximate interval, no bound. `product` must take
    columns (p, m); p numbers per product are kept.

    **Raises:** `InvalidArgument` for fewer than 6 products.
    """
    if products < 6:
        raise InvalidArgument("trace_estimate.products", "at least 6", products)
    rng = np.random.default_rng(key)
    exact, basis, count = 0.0, np.zeros((size, 0)), products
    if deflate:
        third = min(products // 3, size)
        basis = np.linalg.qr(product(_signs(rng, size, third)))[0]
        exact = float(np.sum(basis * product(basis)))
        count = products - 2 * third
    probes = _signs(rng, size, count)
    probes = probes - basis @ (basis.T @ probes)
    found = np.sum(probes * product(probes), axis=0)
    width = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(found, ddof=1))
    return exact + float(np.mean(found)), width / np.sqrt(count)


def _signs(rng: np.random.Generator, size: int, count: int) -> np.ndarray:
    return rng.integers(0, 2, (size, count)) * 2.0 - 1.0
