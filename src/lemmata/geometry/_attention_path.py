"""The regularisation path: the best weights of each norm, and where they point.

Source: Ataee Tarzanagh, Li, Thrampoulidis and Oymak (arXiv 2308.16898), section 2.1:
W_R / R tends to W^mm / ||W^mm|| as R grows.
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from ..core import (
    AbstractMethod,
    AnyArray,
    Claim,
    InvalidMethod,
    Withheld,
    array64,
    require,
)
from ._attention_heads import LinearHead, loss_excess
from ._attention_parameters import (
    AbstractParameterization,
    Factored,
    Joint,
    check_counts,
)
from ._attention_training import AttentionTraining
from ._attention_value import TrainedAttention

_FAR = -1e30  # stands for minus infinity, without its derivatives


class PathState(eqx.Module):
    """W, a minimiser of the convex guide, all W_R so far, and the next radius."""

    weights: Float64[Array, "d d"]
    guide: Float64[Array, "d d"]
    path: Float64[Array, "k d d"]
    objective: Float64[Array, ""]
    index: Int64[Array, ""]


def _logits(problem: AttentionTraining, weights: Any) -> tuple[Array, Array]:
    """(x_it' W z_i with padding far below, which places hold a token), shape (n, T)."""
    t = problem.tokens.shape[1]
    inside = jnp.arange(t)[None, :] < jnp.asarray(problem.lengths)[:, None]
    images = problem.queries @ weights.T
    raw = (problem.tokens * images[:, None, :]).sum(-1)
    return jnp.where(inside, raw, _FAR), inside


def log_excess(problem: AttentionTraining, weights: Any) -> Array:
    """log(L(W) - L*), L* the loss if each input attended to its best token alone.

    l(b - delta) - l(b) with b the best score and delta = sum s_t (b - gamma_t): sums of
    positive terms, in logarithms. Its slope never vanishes, unlike that of the loss.
    """
    scores = problem.scores
    raw, inside = _logits(problem, weights)
    best = jnp.max(jnp.where(inside, scores, -jnp.inf), axis=1)
    logs = jax.nn.log_softmax(raw, axis=1)
    behind = best[:, None] - scores
    worse = inside & (behind > 0)
    terms = logs + jnp.log(jnp.where(worse, behind, 1.0))
    delta = jax.scipy.special.logsumexp(jnp.where(worse, terms, _FAR), axis=1)
    excess = loss_excess(problem.loss, best, delta)
    return jax.scipy.special.logsumexp(excess) - jnp.log(1.0 * len(excess))


def log_miss(problem: AttentionTraining, weights: Any) -> Array:
    """Logarithm of the sum of -log s_i,best: convex but for the logarithm.

    Its minimiser on a ball attends to the best tokens where any weights do: where the
    objective has other minima, this is a place to start from.
    """
    scores = problem.scores
    raw, inside = _logits(problem, weights)
    best = jnp.argmax(jnp.where(inside, scores, -jnp.inf), axis=1)[:, None]
    behind = raw - jnp.take_along_axis(raw, best, axis=1)
    others = inside & (jnp.arange(raw.shape[1])[None, :] != best)
    total = jax.scipy.special.logsumexp(jnp.where(others, behind, _FAR), axis=1)
    small = total < -20.0
    modest = jnp.log(jnp.logaddexp(0.0, jnp.where(small, 0.0, total)))
    return jax.scipy.special.logsumexp(jnp.where(small, total, modest))


def nuclear_projection(matrix: Any, radius: Any) -> Array:
    """The nearest matrix of nuclear norm at most `radius`."""
    left, values, rows = jnp.linalg.svd(matrix, full_matrices=False)
    sums = jnp.cumsum(values)
    level = (sums - radius) / jnp.arange(1.0, values.size + 1.0)
    chosen = jnp.sum(values > level) - 1
    level = jnp.maximum(level[chosen], 0.0)
    return (left * jnp.maximum(values - level, 0.0)[None, :]) @ rows


def frobenius_projection(matrix: Any, radius: Any) -> Array:
    """The nearest matrix of Frobenius norm at most `radius`."""
    size = jnp.sqrt(jnp.sum(matrix * matrix))
    return matrix * jnp.minimum(1.0, radius / jnp.maximum(size, 1e-300))


@final
class RegularizationPath(AbstractMethod):
    """Accelerated projected gradient at each radius, from two starts.

    One is the last answer, scaled; the other minimises a convex function that wants
    each input to attend to its best token. The better of the two minima counts.

    `Joint` bounds ||W||_F by R; `Factored` bounds (||K||^2 + ||Q||^2) / 2, so the
    nuclear norm of K Q'. Linear heads only: the objective is log(L(W) - L*).

    **Options:**

    - `radii`: increasing, > 0; the answer belongs to the last. None: 13 from 1 to 1000.
    - `parameterization`: `Joint()` or `Factored()`.
    - `inner_steps`: gradient steps at each radius.
    """

    radii: Float64[AnyArray, " k"] | None = eqx.field(
        converter=lambda given: None if given is None else array64(given), default=None
    )
    parameterization: AbstractParameterization = Joint()
    inner_steps: int = 2000

    def validate(self) -> None:
        radii = self.grid()
        good = radii.ndim == 1 and radii.size > 0 and np.all(np.isfinite(radii))
        good = good and radii[0] > 0 and np.all(np.diff(radii) > 0)
        expected = "increasing positive numbers"
        require(self, "radii", good, expected=expected, got=radii)
        check_counts(self, "inner_steps")

    def grid(self) -> Any:
        """The radii, shape (k,)."""
        if self.radii is None:
            return np.logspace(0.0, 3.0, 13)
        return self.radii

    def init(self, problem: AttentionTraining, key: Any) -> PathState:
        del key  # starts at zero
        if not isinstance(problem.head, LinearHead):
            expected = "a problem with a linear head: its best tokens are known"
            raise InvalidMethod(
                "RegularizationPath", expected, type(problem.head).__name__
            )
        d = problem.tokens.shape[2]
        zero = jnp.asarray(0, dtype=jnp.int64)
        path = jnp.zeros((self.grid().shape[0], d, d))
        nothing = jnp.zeros((d, d))
        return PathState(nothing, nothing, path, jnp.zeros(()), zero)

    def step(self, problem: AttentionTraining, state: PathState) -> PathState:
        radius = jnp.asarray(self.grid())[state.index]
        before = jnp.asarray(self.grid())[jnp.maximum(state.index - 1, 0)]
        grown = jnp.where(state.index > 0, radius / before, 1.0)
        convex = self._minimised(problem, log_miss, state.guide * grown, radius)
        found = [
            self._minimised(problem, log_excess, start, radius)
            for start in (state.weights * grown, convex)
        ]
        objectives = [log_excess(problem, weights) for weights in found]
        better = objectives[1] < objectives[0]
        weights = jnp.where(better, found[1], found[0])
        objective = jnp.where(better, objectives[1], objectives[0])
        path = state.path.at[state.index].set(weights)
        return PathState(weights, convex, path, objective, state.index + 1)

    def _minimised(
        self, problem: AttentionTraining, objective: Any, start: Any, radius: Any
    ) -> Array:
        """FISTA with restarts; a log-sum-exp of margins is as smooth as they are long.

        Its curvature is at most (max ||A||)^2 with ||A|| <= diameter * ||z||, plus one
        for the mixing of scores.
        """
        project = (
            nuclear_projection
            if isinstance(self.parameterization, Factored)
            else frobenius_projection
        )
        centre = problem.tokens - problem.tokens[:, :1]
        spread = 4 * jnp.max(jnp.sum(centre * centre, axis=2), axis=1)
        square = spread * jnp.sum(problem.queries * problem.queries, axis=1)
        length = 1 / (2 * jnp.max(square))
        slope_of = jax.grad(lambda w: objective(problem, w))

        def again(_: Any, carry: Any) -> Any:
            w, ahead, t = carry
            moved = project(ahead - length * slope_of(ahead), radius)
            turned = jnp.sum((ahead - moved) * (moved - w)) > 0
            t = jnp.where(turned, 1.0, t)
            following = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
            ahead = moved + jnp.where(turned, 0.0, (t - 1) / following) * (moved - w)
            return moved, ahead, following

        one = jnp.ones(())
        start = project(start, radius)
        return jax.lax.fori_loop(0, self.inner_steps, again, (start, start, one))[0]

    def done(self, problem: AttentionTraining, state: PathState) -> Bool[Array, ""]:
        del problem
        return (state.index >= self.grid().shape[0]) | jnp.isnan(state.objective)

    def finish(self, problem: AttentionTraining, state: PathState) -> TrainedAttention:
        del problem
        found = TrainedAttention(state.weights)
        if isinstance(self.parameterization, Factored):  # balanced: K'K = Q'Q
            whole = Factored()
            return whole.value(whole.of(found))
        return found

    def observe(self, problem: AttentionTraining, state: PathState) -> dict[str, Array]:
        del problem
        radius = jnp.asarray(self.grid())[jnp.maximum(state.index - 1, 0)]
        return {"radius": radius, "log_excess": state.objective}

    def claims(
        self,
        problem: AttentionTraining,
        value: TrainedAttention,
        state: PathState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        from ._attention_training_claims import path_claim

        del trace
        nuclear = isinstance(self.parameterization, Factored)
        norm = "nuclear" if nuclear else "frobenius"
        count = int(state.index)
        radii = np.asarray(self.grid())[:count]
        return (
            path_claim(problem, value, np.asarray(state.path)[:count], radii, norm),
        )

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers",)
