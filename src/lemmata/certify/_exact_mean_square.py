"""The exact mean-square threshold of SGD, with matrices that prove it from both sides.

Source: Wu and Su, ICML 2023 (arXiv 2305.17490), section 3, for the question; Mulayoff
and Michaeli (2023) for thresholds in the mean square. The reduction to an eigenvalue of
C^-1 D and both witnesses are derived in `_mean_square.py` and here.

The eigenvalue is found by the locally optimal conjugate gradient method (Knyazev 2001)
in the inner product <A, C(B)>, in which C^-1 D is self-adjoint. Then, for mu' a little
above it, (mu' - C^-1 D) S = I is solved by conjugate gradients from the part that the
eigenmatrix shows. S is positive definite (the Neumann series has positive terms) and
mu' C(S) - D(S) = G, so E[d'S d] never grows for eta <= 2 / mu'.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, AbstractMethod, Outcome, require
from ._mean_square import RANK_TOLERANCE, Moments, coordinates
from ._stability_value import Stability

_ROUGH = 0.1  # Frobenius norm of the scaled residual of S; one is the limit
_EIGEN, _WITNESS, _FINISHED, _LOST = 0, 1, 2, 3

UNPROVED = Outcome(
    "no_witness",
    "Rounding kept the matrix that proves stability from being found: raise gap_tol of "
    "the problem or rank_tol; max_learning_rate is computed, not proved.",
)
Real = float | Array


class MeanSquareState(eqx.Module):
    """Iterates of both stages; all matrices (r, r)."""

    rows: Float64[Array, "n k r"]
    spectrum: Float64[Array, " r"]
    basis: Float64[Array, "r q"]
    values: Float64[Array, " r"]
    matrix: Float64[Array, "r r"]
    image: Float64[Array, "r r"]
    direction: Float64[Array, "r r"]
    direction_image: Float64[Array, "r r"]
    witness: Float64[Array, "r r"]
    residual: Float64[Array, "r r"]
    eigenvalue: Float64[Array, ""]
    error: Float64[Array, ""]
    best: Float64[Array, ""]
    waited: Int64[Array, ""]
    stage: Int64[Array, ""]


@final
class ExactMeanSquare(AbstractMethod):
    """The largest learning rate at which second moments stay bounded, and its proofs.

    **Options:**

    - `rtol`: relative error of the eigenvalue, up to its relative distance to the next.
    - `rank_tol`: gradient directions below this share of the largest singular value
      are left out.
    - `share`: the matrix that proves stability is sought at a learning rate that is
      `share * gap_tol` below the threshold, in (0, 1).
    - `patience`: steps without progress after which a stage is given up.

    Costs O(n K r^2) a step for n samples with K outputs and r <= nK directions.
    """

    rtol: Real = 1e-13
    rank_tol: Real = RANK_TOLERANCE
    share: Real = 0.5
    patience: int = 400

    def validate(self) -> None:
        require(self, "rtol", 0 < self.rtol < 1, expected="in (0, 1)", got=self.rtol)
        good = 0 < self.rank_tol < 1
        require(self, "rank_tol", good, expected="in (0, 1)", got=self.rank_tol)
        good = 0 < self.share < 1
        require(self, "share", good, expected="in (0, 1)", got=self.share)
        good = self.patience >= 1
        require(self, "patience", good, expected=">= 1", got=self.patience)

    def init(self, problem: Any, key: Any) -> MeanSquareState:
        del key  # deterministic
        found = coordinates(problem.rows(), self.rank_tol)
        moments = Moments(found.rows, found.spectrum, problem.share)
        r = len(found.spectrum)
        matrix = jnp.eye(r)
        matrix = matrix / jnp.sqrt(moments.inner(matrix, matrix))
        image = moments.ratio(matrix)
        zero, count = jnp.zeros((r, r)), jnp.asarray(0, dtype=jnp.int64)
        far = jnp.asarray(jnp.inf, dtype=jnp.float64)
        return MeanSquareState(
            *found,
            matrix,
            image,
            zero,
            zero,
            jnp.eye(r),
            zero,
            moments.inner(matrix, image),
            far,
            far,
            count,
            count,
        )

    def step(self, problem: Any, state: MeanSquareState) -> MeanSquareState:
        moments = Moments(state.rows, state.spectrum, problem.share)
        ratio = 1 + self.share * problem.gap_tol

        def eigen(state):
            moved = _climb(moments, state)
            over = ~(moved.error**2 > self.rtol) | (moved.waited > self.patience)
            return jax.lax.cond(
                over, lambda s: _aim(moments, s, ratio), lambda s: s, moved
            )

        def witness(state):
            moved = _solve(moments, state, ratio)
            good = ~(moved.error > _ROUGH)
            lost = (moved.waited > self.patience) | jnp.isnan(moved.error)
            stage = jnp.where(good, _FINISHED, jnp.where(lost, _LOST, _WITNESS))
            return eqx.tree_at(lambda s: s.stage, moved, stage.astype(jnp.int64))

        return jax.lax.cond(state.stage == _EIGEN, eigen, witness, state)

    def done(self, problem: Any, state: MeanSquareState) -> Bool[Array, ""]:
        return (state.stage >= _FINISHED) | jnp.isnan(state.eigenvalue)

    def finish(self, problem: Any, state: MeanSquareState) -> Stability:
        return problem.value_of(
            state.rows,
            state.basis,
            state.values,
            lyapunov=state.witness,
            growth=state.matrix,
            max_learning_rate=2 / state.eigenvalue,
        )

    def observe(self, problem: Any, state: MeanSquareState) -> dict[str, Array]:
        return {
            "max_learning_rate": 2 / state.eigenvalue,
            "error": jnp.minimum(state.error, 1e300),
            "stage": state.stage,
            "directions": jnp.sum(state.spectrum > 0),
        }

    def outcome(self, problem: Any, state: MeanSquareState) -> Outcome:
        return CONVERGED if int(state.stage) == _FINISHED else UNPROVED

    def citations(self) -> tuple[str, ...]:
        return ("wu2023implicit", "mulayoff2023exact", "knyazev2001toward")


def _unit(moments: Moments, matrix: Array, image: Array) -> tuple[Array, Array]:
    """Length one in the inner product of C; zero stays zero."""
    size = jnp.sqrt(moments.inner(matrix, matrix))
    factor = jnp.where(size > 0, 1 / jnp.where(size > 0, size, 1.0), 0.0)
    return matrix * factor, image * factor


def _climb(moments: Moments, state: MeanSquareState) -> MeanSquareState:
    """Rayleigh-Ritz on the span of M, its residual and the last direction."""
    m, image = state.matrix, state.image
    r = image - state.eigenvalue * m
    r = r - moments.inner(m, r) * m
    r, _ = _unit(moments, r, r)
    r = r - moments.inner(m, r) * m
    r_image = moments.ratio(r)
    p, p_image = state.direction, state.direction_image
    for b, b_image in ((m, image), (r, r_image), (m, image), (r, r_image)):
        along = moments.inner(b, p)
        p, p_image = p - along * b, p_image - along * b_image
    p, p_image = _unit(moments, p, p_image)
    span, images = (m, r, p), (image, r_image, p_image)
    projected = jnp.array([[moments.inner(a, b) for b in images] for a in span])
    _, vectors = jnp.linalg.eigh((projected + projected.T) / 2)
    y = vectors[:, -1] * jnp.where(vectors[0, -1] < 0, -1.0, 1.0)
    direction, direction_image = y[1] * r + y[2] * p, y[1] * r_image + y[2] * p_image
    m, image = _unit(moments, y[0] * m + direction, y[0] * image + direction_image)
    eigenvalue = moments.inner(m, image)
    away = image - eigenvalue * m
    error = jnp.sqrt(moments.inner(away, away)) / eigenvalue
    better = error < state.best
    return eqx.tree_at(
        lambda s: (
            s.matrix,
            s.image,
            s.direction,
            s.direction_image,
            s.eigenvalue,
            s.error,
            s.best,
            s.waited,
        ),
        state,
        (
            m,
            image,
            direction,
            direction_image,
            eigenvalue,
            error,
            jnp.minimum(error, state.best),
            jnp.where(better, 0, state.waited + 1),
        ),
    )


def _aim(moments: Moments, state: MeanSquareState, ratio: Array) -> MeanSquareState:
    """Start of the linear system: exact along the eigenmatrix, I / mu' elsewhere."""
    top, m = state.eigenvalue, state.matrix
    above = top * ratio
    eye = jnp.eye(len(state.spectrum))
    along = moments.inner(m, eye)
    witness = eye / above + along * (1 / (above - top) - 1 / above) * m
    residual = eye - above * witness + moments.ratio(witness)
    return eqx.tree_at(
        lambda s: (
            (s.witness, s.residual, s.direction, s.error, s.best, s.waited) + (s.stage,)
        ),
        state,
        (
            witness,
            residual,
            residual,
            _scaled(moments, residual),
            jnp.asarray(jnp.inf, dtype=jnp.float64),
            jnp.zeros_like(state.waited),
            jnp.ones_like(state.stage),
        ),
    )


def _scaled(moments: Moments, residual: Array) -> Array:
    """||G^-1/2 C(R) G^-1/2||_F: below one, mu' C(S) - D(S) stays positive definite."""
    root = jnp.sqrt(moments.spectrum)
    inverse = jnp.where(root > 0, 1 / jnp.where(root > 0, root, 1.0), 0.0)
    scaled = moments.weight() * residual * inverse[:, None] * inverse
    return jnp.sqrt(jnp.sum(scaled * scaled))


def _solve(moments: Moments, state: MeanSquareState, ratio: Array) -> MeanSquareState:
    """One step of conjugate gradients for (mu' - C^-1 D) S = I."""
    above = state.eigenvalue * ratio
    r, p = state.residual, state.direction
    image = above * p - moments.ratio(p)
    square, curvature = moments.inner(r, r), moments.inner(p, image)
    step = jnp.where(curvature > 0, square / curvature, 0.0)
    witness, residual = state.witness + step * p, r - step * image
    turn = moments.inner(residual, residual) / jnp.where(square > 0, square, 1.0)
    error = _scaled(moments, residual)
    better = error < state.best
    return eqx.tree_at(
        lambda s: (s.witness, s.residual, s.direction, s.error, s.best, s.waited),
        state,
        (
            witness,
            residual,
            residual + turn * p,
            error,
            jnp.minimum(error, state.best),
            jnp.where(better, 0, state.waited + 1),
        ),
    )
