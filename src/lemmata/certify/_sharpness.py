"""Trace, Frobenius norm and top eigenvalue of a Hessian, by products alone.

For the square loss (1/2n) sum ||f(x_i) - y_i||^2 the Hessian is G = (1/n) sum J_i'J_i
plus residuals times second derivatives; at a minimum that interpolates it is G. Both
are given, apart.

Sources: Pearlmutter (1994) for Hessian-vector products; Hutchinson (1990) and Meyer,
Musco, Musco and Woodruff (2021) for traces; Lanczos (1950), with full
reorthogonalisation and restarts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from ..core import InvalidArgument, float64, to_jax
from ._stability_rows import MEMORY, _block, gradient_rows

Product = Callable[[np.ndarray], np.ndarray]


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

    **Returns:** a function of vectors (p,) in float64, compiled; and p.
    """
    with float64():
        flat, restore = ravel_pytree(to_jax(params))
        pieces = _pieces(inputs, targets, chunk)

        def outputs(w, x):
            return jax.vmap(model, (None, 0))(restore(w), x).reshape(len(x), -1)

        def loss(w, x, y):
            return jnp.sum((outputs(w, x) - y) ** 2) / 2

        def full(w, v, x, y):
            return jax.jvp(lambda u: jax.grad(loss)(u, x, y), (w,), (v,))[1]

        def outer(w, v, x, y):
            along = jax.jvp(lambda u: outputs(u, x), (w,), (v,))[1]
            return jax.vjp(lambda u: outputs(u, x), w)[1](along)[0]

        one = jax.jit(outer if gauss_newton else full)
    n = len(inputs)

    def product(vector: np.ndarray) -> np.ndarray:
        with float64():
            v = jnp.asarray(vector, dtype=jnp.float64)
            return np.asarray(sum(one(flat, v, x, y) for x, y in pieces)) / n

    return product, flat.size


def _pieces(inputs: Any, targets: Any, chunk: int) -> list[tuple[Any, Any]]:
    x = np.asarray(inputs, dtype=np.float64)
    y = np.asarray(targets, dtype=np.float64).reshape(len(x), -1)
    return [
        (jnp.asarray(x[i : i + chunk]), jnp.asarray(y[i : i + chunk]))
        for i in range(0, len(x), chunk)
    ]


def top_eigenvalue(
    product: Product, size: int, *, rtol: float = 1e-9, steps: int = 40, key: int = 0
) -> tuple[float, float]:
    """The largest eigenvalue of a symmetric product, and the residual ||Hv - lv||.

    An eigenvalue lies within the residual of the one returned. Lanczos with `steps`
    vectors at once, restarted from the best until the residual is below `rtol` of the
    eigenvalue, ten times at most.
    """
    vector = np.random.default_rng(key).normal(size=size)
    vector /= np.linalg.norm(vector)
    value, residual = 0.0, np.inf
    for _ in range(10):
        value, vector = _lanczos(product, vector, min(steps, size))
        residual = float(np.linalg.norm(product(vector) - value * vector))
        if residual <= rtol * abs(value):
            break
    return value, residual


def _lanczos(product: Product, start: np.ndarray, steps: int) -> Any:
    basis, diagonal, beside = [start], [], []
    for k in range(steps):
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        stacked = np.stack(basis)
        for _ in range(2):  # twice is enough
            image = image - stacked.T @ (stacked @ image)
        size = float(np.linalg.norm(image))
        if k + 1 == steps or size <= 1e-14 * max(abs(d) for d in diagonal):
            break
        beside.append(size)
        basis.append(image / size)
    tri = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = np.linalg.eigh(tri)
    vector = np.stack(basis).T @ vectors[:, -1]
    return float(values[-1]), vector / np.linalg.norm(vector)


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
    central limit theorem: an approximate interval, no bound.

    **Raises:** `InvalidArgument` for fewer than 6 products.
    """
    if products < 6:
        raise InvalidArgument("trace_estimate.products", "at least 6", products)
    rng = np.random.default_rng(key)
    exact, basis = 0.0, np.zeros((size, 0))
    count = products
    if deflate:
        third = min(products // 3, size)
        sketch = np.stack([product(_signs(rng, size)) for _ in range(third)], 1)
        basis = np.linalg.qr(sketch)[0]
        exact = sum(float(q @ product(q)) for q in basis.T)
        count = products - 2 * third
    found = []
    for _ in range(count):
        probe = _signs(rng, size)
        probe = probe - basis @ (basis.T @ probe)
        found.append(float(probe @ product(probe)))
    width = NormalDist().inv_cdf((1 + confidence) / 2) * float(np.std(found, ddof=1))
    return exact + float(np.mean(found)), width / np.sqrt(count)


def _signs(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.integers(0, 2, size) * 2.0 - 1.0


@dataclass(frozen=True)
class Sharpness:
    """Curvature at a point, of G (the Gauss-Newton part) and of the full Hessian.

    - `trace`: Tr G, exact, from per-sample gradients.
    - `frobenius`: ||G||_F from their inner products, or None above 4000 gradients.
    - `lambda_max`, `lambda_max_residual`: of G, by Lanczos.
    - `hessian_trace`, `hessian_trace_width`: Hutch++ and its half-width (95%).
    - `hessian_lambda_max`, `hessian_lambda_max_residual`: of the full Hessian.
    - `loss`: (1/2n) sum ||f - y||^2; where it is 0 the two agree.
    """

    trace: float
    frobenius: float | None
    lambda_max: float
    lambda_max_residual: float
    hessian_trace: float
    hessian_trace_width: float
    hessian_lambda_max: float
    hessian_lambda_max_residual: float
    loss: float


def sharpness(
    model: Callable[..., Any],
    params: Any,
    inputs: Any,
    targets: Any,
    *,
    products: int = 90,
    rtol: float = 1e-9,
    memory: int = MEMORY,
    key: int = 0,
) -> Sharpness:
    """Sharpness of any model at any point, with memory for a block of gradients only.

    **Arguments:** as for `SGDStability`; `products` for the Hessian's trace, `rtol` of
    the eigenvalues' residuals, `memory` in bytes for gradient rows.
    """
    arguments = (model, params, inputs, targets)
    gauss, size = hessian_product(*arguments, gauss_newton=True)
    full, _ = hessian_product(*arguments)
    x = np.asarray(inputs, dtype=np.float64)
    y = np.asarray(targets, dtype=np.float64).reshape(len(x), -1)
    trace, loss, outputs = _per_sample(model, params, x, y, memory)
    frobenius = None
    if len(x) * outputs <= 4000:
        rows = gradient_rows(model, params, x, memory)
        rows = rows.reshape(len(x) * outputs, -1)
        tall = rows if rows.shape[0] >= rows.shape[1] else rows.T
        frobenius = float(np.linalg.norm(tall.T @ tall)) / len(x)
    estimate, width = trace_estimate(full, size, products=products, key=key)
    return Sharpness(
        trace,
        frobenius,
        *top_eigenvalue(gauss, size, rtol=rtol, key=key),
        estimate,
        width,
        *top_eigenvalue(full, size, rtol=rtol, key=key),
        loss,
    )


def _per_sample(
    model: Any, params: Any, x: np.ndarray, y: np.ndarray, memory: int
) -> tuple[float, float, int]:
    """(Tr G, loss, K) from blocks of per-sample gradients."""
    with float64():
        flat, restore = ravel_pytree(to_jax(params))
        outputs = y.shape[1]
        size = max(1, min(len(x), memory // (8 * flat.size * outputs)))

        @jax.jit
        def block(w, x, y):
            found = jax.vmap(model, (None, 0))(restore(w), x).reshape(y.shape)
            rows = _block(model, restore, w, x)
            return jnp.sum(rows**2), jnp.sum((found - y) ** 2) / 2

        sums = np.zeros(2)
        for i in range(0, len(x), size):
            part = block(flat, jnp.asarray(x[i : i + size]), y[i : i + size])
            sums += np.array([float(p) for p in part])
    return float(sums[0]) / len(x), float(sums[1]) / len(x), outputs
