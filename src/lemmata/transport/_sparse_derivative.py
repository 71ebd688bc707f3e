"""Derivatives of sparse transport: value by the envelope, plan on a fixed support.

On a fixed support S the plan is `T_ij = (alpha_i - tau_j - C_ij) / gamma` with both
marginals kept, so `dT = -(1/gamma) Pi_S dC` for the projection Pi_S onto matrices on S
with zero sums: one Laplacian solve of the bipartite graph S. Both maps are symmetric,
so the same solve gives the pullback. The choice of S has derivative zero almost
everywhere. Source: Liu, Puigcerver, Blondel (2023), section 4, for the envelope.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._topk import Oriented, semi_dual

_STEPS = 1000  # of conjugate gradients; they end as soon as rounding allows


def matching_loss(
    cost: Float[Array, "m n"],
    source: Float[Array, " m"],
    target: Float[Array, " n"],
    alpha: Float[Array, " m"],
    *,
    gamma: Any,
    cap: int,
) -> Float[Array, ""]:
    """D(alpha), whose gradient in `cost` is the selection plan, in `source` alpha.

    **Arguments:**

    - `cost`, `source`, `target`: of one problem, cap on the columns; sums are equal.
    - `alpha`: a maximiser, from any solver; held fixed, as the envelope theorem allows.
    - `gamma`, `cap`: as in `SparseTransport`; `cap` is static.
    """
    fixed = jax.lax.stop_gradient(alpha)
    found = semi_dual(Oriented(cost.T, source, target, gamma, cap), fixed)
    topk = jax.lax.stop_gradient(found.topk)
    # Values of `found`, written so that its derivatives are those of the envelope.
    points = jnp.arange(target.shape[0])[:, None]
    moved = jnp.sum(topk.mass * cost[topk.indices, points])
    value = fixed @ source + moved + topk.threshold @ -target
    return jax.lax.stop_gradient(found.value - value) + value


@jax.custom_vjp
def implicit_plan(
    plan: Float[Array, "m n"],
    cost: Float[Array, "m n"],
    source: Float[Array, " m"],
    target: Float[Array, " n"],
    gamma: Any,
) -> Float[Array, "m n"]:
    """`plan` itself, differentiable in `cost`, `source` and `target` on its support.

    The plan must be optimal on its support, as the polished one is, and the selection
    plan for its own row sums. `gamma` gets no derivative.
    """
    del cost, source, target, gamma
    return plan


def _forward(plan, cost, source, target, gamma):
    del cost, source, target
    return plan, (plan > 0, gamma)


def _backward(residuals, cotangent):
    support, gamma = residuals
    inside = jnp.where(support, cotangent, 0.0)
    u, v = _potentials(support, inside)
    left = jnp.where(support, inside - u[:, None] - v[None, :], 0.0)
    return jnp.zeros_like(inside), -left / gamma, u, v, jnp.zeros_like(gamma)


def _potentials(support: Array, inside: Array) -> tuple[Array, Array]:
    """u, v with the sums of `inside - u - v` over the support zero in rows and columns.

    The Laplacian is singular, one constant per component of the support; conjugate
    gradients from zero stay orthogonal to them.
    """
    mask = support.astype(inside.dtype)
    rows = jnp.maximum(jnp.sum(mask, axis=1), 1.0)
    columns = jnp.maximum(jnp.sum(mask, axis=0), 1.0)

    def laplacian(x):
        u, v = x
        return rows * u + mask @ v, columns * v + u @ mask

    def scaled(x):
        return x[0] / rows, x[1] / columns

    rhs = jnp.sum(inside, axis=1), jnp.sum(inside, axis=0)
    tiny = 10 * float(jnp.finfo(inside.dtype).eps)
    solve = jax.scipy.sparse.linalg.cg
    return solve(laplacian, rhs, tol=tiny, maxiter=_STEPS, M=scaled)[0]


implicit_plan.defvjp(_forward, _backward)
