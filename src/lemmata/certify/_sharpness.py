"""Sharpness of a model at a point, of the Hessian and of its Gauss-Newton part.

For the square loss (1/2n) sum ||f(x_i) - y_i||^2 the Hessian is G = (1/n) sum J_i'J_i
plus residuals times second derivatives; at a minimum that interpolates it is G. Both
are given, apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import float64, to_jax
from ._curvature import hessian_product, top_eigenvalue, trace_estimate
from ._stability_rows import MEMORY, gradient_block, gram_matrix


@dataclass(frozen=True)
class Sharpness:
    """Curvature at a point, of G (the Gauss-Newton part) and of the full Hessian.

    - `trace`: Tr G, exact, from per-sample gradients.
    - `frobenius`: ||G||_F from their inner products, or None above 4000 gradients.
    - `lambda_max`, `lambda_max_residual`: of G.
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
        gram = gram_matrix(model, params, x, memory)
        frobenius = float(np.linalg.norm(gram)) / len(x)
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
        params, outputs = to_jax(params), y.shape[1]
        count = sum(leaf.size for leaf in jax.tree.leaves(params))
        size = max(1, min(len(x), memory // (8 * count * outputs)))
        sums = np.zeros(2)
        for i in range(0, len(x), size):
            part = _block_sums(model, params, x[i : i + size], y[i : i + size])
            sums += np.array([float(p) for p in part])
    return float(sums[0]) / len(x), float(sums[1]) / len(x), outputs


@eqx.filter_jit
def _block_sums(model: Any, params: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Over a block of samples, of squared gradient entries and of losses."""
    found = jax.vmap(model, (None, 0))(params, x).reshape(y.shape)
    rows = gradient_block(model, params, x)
    return jnp.sum(rows**2), jnp.sum((found - y) ** 2) / 2
