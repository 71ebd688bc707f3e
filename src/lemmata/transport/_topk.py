"""The k largest entries of a score, projected: the conjugate behind sparse transport.

Source: Liu, Puigcerver, Blondel, Sparsity-Constrained Optimal Transport (2023),
section 3; Kyrillidis et al., Sparse projections onto the simplex (2013).
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class TopK(eqx.Module):
    """Where the conjugates O_j are attained, one row per capped point j.

    **Fields:**

    - `indices`: positions of the largest scores, best first, (c, k) integers; of equal
      scores the lowest position comes first.
    - `mass`: t at these positions, (c, k), >= 0, sums to the point's mass; 0 exactly
      where the threshold is not exceeded.
    - `threshold`: tau_j, (c,), in units of the scores.
    - `value`: O_j, (c,), in units of score times mass.
    """

    indices: Int[Array, "c k"]
    mass: Float[Array, "c k"]
    threshold: Float[Array, " c"]
    value: Float[Array, " c"]

    def scatter(self, size: int) -> Array:
        """Sums of the mass over j, shape (size,)."""
        return jnp.zeros(size, self.mass.dtype).at[self.indices].add(self.mass)


def topk_simplex(
    scores: Float[Array, "c f"],
    mass: Float[Array, " c"],
    gamma: Any,
    cap: int,
    limit: Any = None,
) -> TopK:
    """Maximises <s, t> - gamma/2 |t|^2: t >= 0, sum(t) = mass, at most cap non-zeros.

    **Arguments:**

    - `scores`: s, one row per problem, (c, f); -inf forbids a position.
    - `mass`: b, (c,), > 0.
    - `gamma`: > 0, in units of score per mass.
    - `cap`: static, 1 <= cap <= f.
    - `limit`: an integer, possibly traced, 1 <= limit <= cap, that replaces cap where
      one compiled program shall serve several; None means cap.

    The entries above tau are the same for any cap once sorted, so tau solves
    `sum over the largest of [s_i - tau]_+ = gamma * mass`, and
    `O = sum over t_i > 0 of (s_i^2 - tau^2) / (2 gamma)`.
    """
    values, indices = jax.lax.top_k(scores, cap)
    allowed = jnp.arange(cap) < (cap if limit is None else limit)
    # Measured from the best score: what is subtracted below stays small.
    top = jnp.max(values, axis=1, keepdims=True)
    drop = jnp.where(allowed, values - top, -jnp.inf)
    counts = jnp.arange(1, cap + 1, dtype=scores.dtype)
    level = (jnp.cumsum(drop, axis=1) - (gamma * mass)[:, None]) / counts
    last = jnp.maximum(jnp.sum(drop > level, axis=1, keepdims=True) - 1, 0)
    tau = jnp.take_along_axis(level, last, axis=1)
    t = jnp.maximum(drop - tau, 0.0) / gamma
    # s^2 - tau^2 = (s - tau)(s + tau), and the s - tau sum to gamma * mass.
    mean = jnp.where(t > 0, drop + tau, 0.0) / 2
    value = jnp.sum(t * mean, axis=1) + top[:, 0] * mass
    return TopK(indices, t, (tau + top)[:, 0], value)


class Evaluation(eqx.Module):
    """The semi-dual at one potential.

    **Fields:** `value`, D, cost times mass; `gradient`, a - T1, (f,), mass; `topk`,
    the plan by its k entries per capped point.
    """

    value: Float[Array, ""]
    gradient: Float[Array, " f"]
    topk: TopK


class Oriented(eqx.Module):
    """Data with the capped side first, so that both axes share one code.

    **Fields:** `cost` (c, f); `free` (f,) and `capped` (c,), each of sum 1; `gamma`;
    `cap`, static.
    """

    cost: Float[Array, "c f"]
    free: Float[Array, " f"]
    capped: Float[Array, " c"]
    gamma: Any
    cap: int = eqx.field(static=True)


def cost_range(data: Oriented) -> Array:
    """Max C - min C over the pairs that are not forbidden."""
    high = jnp.max(jnp.where(jnp.isfinite(data.cost), data.cost, -jnp.inf))
    return high - jnp.min(data.cost)


def costs_made_finite(data: Oriented) -> Oriented:
    """Forbidden pairs become dear ones: three ranges above the least cost."""
    dear = jnp.min(data.cost) + 3 * cost_range(data)
    cost = jnp.where(jnp.isfinite(data.cost), data.cost, dear)
    return eqx.tree_at(lambda d: d.cost, data, cost)


def semi_dual(
    data: Oriented, potential: Float[Array, " f"], limit: Any = None
) -> Evaluation:
    """`D(alpha) = <alpha, a> - sum_j O_j(alpha - c_j)` and its (super)gradient.

    `limit` makes the cap a traced integer, at the price of sorting whole rows.
    """
    size = data.cap if limit is None else data.free.shape[0]
    scores = potential[None, :] - data.cost
    topk = topk_simplex(scores, data.capped, data.gamma, size, limit)
    value = potential @ data.free - jnp.sum(topk.value)
    return Evaluation(value, data.free - topk.scatter(data.free.shape[0]), topk)


def joint_dual(
    data: Oriented, potential: Array, other: Array, limit: Any = None
) -> tuple[Array, Array, Array]:
    """The dual in both potentials, its value and its two (super)gradients.

    `<alpha, a> + <beta, b> - sum_j sum of the k largest of
    [alpha_i + beta_j - c_ij]_+^2 / (2 gamma)`; the plan is `[.]_+ / gamma` there.
    """
    size = data.cap if limit is None else data.free.shape[0]
    scores = potential[None, :] + other[:, None] - data.cost
    values, indices = jax.lax.top_k(scores, size)
    allowed = jnp.arange(size) < (size if limit is None else limit)
    excess = jnp.where(allowed, jnp.maximum(values, 0.0), 0.0)
    penalty = jnp.sum(excess * excess) / (2 * data.gamma)
    value = potential @ data.free + other @ data.capped - penalty
    t = excess / data.gamma
    rows = jnp.zeros_like(data.free).at[indices].add(t)
    return value, data.free - rows, data.capped - jnp.sum(t, axis=1)
