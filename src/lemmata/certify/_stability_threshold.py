"""The stability threshold as a differentiable function of gradient rows."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64

from ._exact_mean_square import ExactMeanSquare, MeanSquareState, _climb
from ._mean_square import Moments, noise_share


def mean_square_threshold(
    gradients: Float64[Array, "n k p"] | Float64[Array, "n p"],
    batch_size: Any = 1,
    replacement: bool = False,
    *,
    max_steps: int = 2000,
) -> Float64[Array, ""]:
    """The largest mean-square stable learning rate of SGD, 2 / mu. Call inside
    `jax.enable_x64(True)`; works under jit, vmap and grad.

    mu is the maximum over M of <M, D(M)> / <M, C(M)>, so its derivative is that of the
    quotient at the maximiser (where it is simple).

    **Arguments:**

    - `gradients`: of n outputs, (n, p) or (n, K, p), float64.
    - `batch_size`, `replacement`: as in `SGDStability`; the batch size may be traced.
    - `max_steps`: bound on the steps of the eigenvalue solver.
    """
    rows = gradients[:, None, :] if gradients.ndim == 2 else gradients
    share = noise_share(len(rows), batch_size, replacement)
    found = jax.lax.stop_gradient(_top(jax.lax.stop_gradient(rows), share, max_steps))
    matrix = found.matrix
    basis = jnp.where(found.spectrum[:, None] > 0, found.basis, 0.0)
    inside = rows @ basis.T
    n, outputs, r = inside.shape
    flat = inside.reshape(n * outputs, r)
    turned = flat.T @ (flat @ matrix) / n  # G M
    each = jnp.einsum("ikr,rs,ils->ikl", inside, matrix, inside)
    top = (1 - share) * jnp.sum(turned * turned.T) + share / n * jnp.sum(each**2)
    return 2 * jnp.sum(matrix * turned) / top


class _Rows:
    """What `ExactMeanSquare.init` asks of a problem."""

    def __init__(self, rows: Any, share: Any):
        self._rows, self.share = rows, share

    def rows(self) -> Any:
        return self._rows


def _top(rows: Array, share: Any, max_steps: int) -> MeanSquareState:
    method = ExactMeanSquare()
    start = method.init(_Rows(rows, share), None)
    moments = Moments(start.rows, start.spectrum, share)

    def unfinished(carry: tuple[MeanSquareState, Array]) -> Array:
        state, steps = carry
        far = (state.error**2 > method.rtol) & (state.waited <= method.patience)
        return far & (steps < max_steps)

    def advance(carry: tuple[MeanSquareState, Array]) -> Any:
        state, steps = carry
        return _climb(moments, state), steps + 1

    count = jnp.asarray(0, dtype=jnp.int64)
    return jax.lax.while_loop(unfinished, advance, (start, count))[0]
