"""Exact minimisers of small quadratics with a separable penalty.

min over z of g^T (z - x) + (z - x)^T H (z - x) / 2 + sum_i w_i |z_i| on [l, u]: within
the orthant that the slopes point to, this is a quadratic with bounds, on which Newton
steps on the free coordinates, projected, end after finitely many steps.

Source: Bertsekas, SIAM J. Control Optim. 20 (1982) (two-metric projection); Nutini,
Laradji and Schmidt, JMLR 23(131), 2022, section 6.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Bool, Float64

# Step lengths tried at once: 1, 1/2, ... 2^-11, then down to 2^-47 by eighths.
_LENGTHS = (*(0.5**k for k in range(12)), *(2.0 ** -(11 + 3 * k) for k in range(1, 13)))
_COMPACT = 256  # coordinates from which copying a block costs less than factoring it
_TINY = 1e-300
_JITTER = 1e-11  # of the largest diagonal entry: singular blocks stay solvable


class Terms(NamedTuple):
    """Penalty on a block: strength, lower and upper bound, shape (tau,)."""

    strength: Float64[Array, " tau"]
    lower: Float64[Array, " tau"]
    upper: Float64[Array, " tau"]


class Face(NamedTuple):
    """The box around a point on which the penalty is linear, and what is free in it.

    - `slope`: of objective and penalty together, at the point.
    - `lower`, `upper`: of the box.
    - `free`: coordinates that can move and gain.
    """

    slope: Float64[Array, " tau"]
    lower: Float64[Array, " tau"]
    upper: Float64[Array, " tau"]
    free: Bool[Array, " tau"]


def face(x: Array, gradient: Array, terms: Terms) -> Face:
    """The orthant that holds x and to which it is drawn."""
    kinked = terms.strength > 0
    right = (x > 0) | ((x == 0) & (gradient + terms.strength < 0))
    left = (x < 0) | ((x == 0) & (gradient - terms.strength > 0))
    right, left = right | ~kinked, left | ~kinked
    upper = jnp.where(right, terms.upper, jnp.minimum(0.0, terms.upper))
    lower = jnp.where(left, terms.lower, jnp.maximum(0.0, terms.lower))
    sign = jnp.where(right, 1.0, -1.0)
    slope = gradient + jnp.where(right | left, sign * terms.strength, 0.0)
    slope = jnp.where(right | left, slope, 0.0)
    stuck = ((x <= lower) & (slope >= 0)) | ((x >= upper) & (slope <= 0))
    return Face(slope, lower, upper, ~stuck)


def newton_direction(hessian: Array, at: Face) -> Array:
    """-H_FF^{-1} slope_F on the free coordinates F, zero elsewhere.

    Large blocks are factored in the least of a few sizes that holds F.
    """
    size, free = hessian.shape[0], at.free
    sizes = (size // 2, 3 * size // 4, size) if size >= _COMPACT else (size,)
    order = jnp.argsort(~free, stable=True)
    if len(sizes) == 1:
        found = _compact_solution(hessian, -at.slope, free, order)
    else:
        branches = [
            lambda order=order[:held]: _compact_solution(
                hessian, -at.slope, free, order
            )
            for held in sizes
        ]
        least = jnp.searchsorted(jnp.asarray(sizes), jnp.sum(free))
        found = jax.lax.switch(least, branches)
    diagonal = jnp.diagonal(hessian)
    scale = jnp.maximum(jnp.max(jnp.where(free, diagonal, 0.0)), _TINY)
    steepest = jnp.where(free, -at.slope, 0.0)
    steepest = steepest / jnp.maximum(jnp.sum(diagonal), scale)
    return jnp.where(jnp.all(jnp.isfinite(found)), found, steepest)


def _compact_solution(hessian: Array, rhs: Array, free: Array, order: Array) -> Array:
    """H_FF^{-1} rhs_F, where `order` lists all of F first; zero elsewhere."""
    kept = free[order]
    block = hessian[order[:, None], order]
    diagonal = jnp.where(kept, jnp.diagonal(block), 0.0)
    rest = jnp.where(kept, _JITTER * jnp.maximum(jnp.max(diagonal), _TINY), 1.0)
    both = kept[:, None] & kept[None, :]
    factor = jnp.linalg.cholesky(jnp.where(both, block, 0.0) + jnp.diag(rest))
    found = cho_solve((factor, True), jnp.where(kept, rhs[order], 0.0))
    return jnp.zeros_like(rhs).at[order].set(jnp.where(kept, found, 0.0))


def minimise_quadratic(
    hessian: Array,
    gradient: Array,
    x: Array,
    terms: Terms,
    *,
    rtol: float = 1e-12,
    max_steps: int = 60,
) -> Array:
    """The minimiser z, to `rtol` of the largest slope met; zeros and bounds exact.

    **Arguments:** `hessian` (tau, tau), positive semi-definite; `gradient`, `x` (tau,).
    """
    scale = jnp.max(jnp.abs(gradient)) + jnp.max(terms.strength)

    def slopes(z: Array) -> Array:
        return gradient + hessian @ (z - x)

    def unfinished(carry: tuple[Array, Array, Array]) -> Array:
        _, moving, step = carry
        return moving & (step < max_steps)

    def advance(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        z, _, step = carry
        at = face(z, slopes(z), terms)
        moved, gain = _best_length(hessian, z, at, newton_direction(hessian, at))
        after = face(moved, slopes(moved), terms)
        residual = jnp.max(jnp.where(after.free, jnp.abs(after.slope), 0.0))
        better = gain < 0
        return jnp.where(better, moved, z), better & (residual > rtol * scale), step + 1

    start = (x, jnp.asarray(True), jnp.asarray(0))
    return jax.lax.while_loop(unfinished, advance, start)[0]


def _best_length(
    hessian: Array, z: Array, at: Face, direction: Array
) -> tuple[Array, Array]:
    """The best of the projected points z + t d, and its change of the objective.

    Within the face the penalty is linear, so the change is free of cancellation.
    """
    lengths = jnp.asarray(_LENGTHS)
    points = jnp.clip(z + lengths[:, None] * direction, at.lower, at.upper)
    change = points - z
    change = jnp.where(at.free, change, 0.0)
    gains = change @ at.slope + 0.5 * jnp.sum((change @ hessian) * change, axis=1)
    best = jnp.argmin(gains)
    return jnp.where(at.free, points[best], z), gains[best]
