"""The dual of the Frobenius attention SVM: coordinate sweeps and exact face solves.

max 1'mu - mu'G mu / 2 over mu >= 0, G the Gram matrix of the constraints, then
W = sum mu_k A_k. Sweeps find the face, a linear system on it finishes.

Source: Hsieh et al., A Dual Coordinate Descent Method, ICML 2008 (sweeps); Lawson and
Hanson, Solving Least Squares Problems (1974), chapter 23 (faces).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float64, Int64

from ..core import CONVERGED, AbstractMethod, InvalidMethod, Outcome, require, run
from ._attention_checks import index64
from ._attention_constraints import Constraints
from ._attention_host import farkas
from ._attention_svm import AttentionSVM
from ._attention_value import AttentionWeights

INFEASIBLE = Outcome(
    "infeasible",
    "No weights separate these tokens: the multipliers combine the constraints to "
    "zero. Select other tokens, or use a larger d (d >= max(T - 1, n) nearly always "
    "suffices).",
)
STALLED = Outcome(
    "stalled",
    "The duality gap stopped falling above gap_tol; raise gap_tol or patience, or use "
    "ConicSVM().",
)
_NOTHING = 1e-10  # ||sum mu A|| relative to sum mu ||A||: then it combines to zero
_RIDGE = 1e-14  # of the largest diagonal entry: dependent constraints
_EXACT = 1e-14  # gap at which rounding is all that is left


class Measured(eqx.Module):
    """What multipliers are worth: W, its least margin, bounds, emptiness."""

    weights: Float64[Array, "d d"]
    least: Float64[Array, ""]
    gap: Float64[Array, ""]
    empty: Bool[Array, ""]


class ActiveSetState(eqx.Module):
    """Multipliers (n T,), those of the least gap, and how long it has not fallen."""

    multipliers: Float64[Array, " k"]
    best: Float64[Array, " k"]
    gram: Float64[Array, "k k"]
    gap: Float64[Array, ""]
    empty: Bool[Array, ""]
    stalled: Int64[Array, ""]
    support: Int64[Array, ""]


def measured(constraints: Constraints, multipliers: Any) -> Measured:
    """The relative gap ||W||^2 / (least margin * sum mu) - 1 of W = sum mu A."""
    shape = constraints.active.shape
    weights = constraints.combine(multipliers.reshape(shape))
    margins = jnp.where(constraints.active, constraints.margins(weights), jnp.inf)
    least, total = jnp.min(margins), jnp.sum(multipliers)
    square = jnp.sum(weights * weights)
    bound = jnp.where(least > 0, least, 1.0) * jnp.where(total > 0, total, 1.0)
    gap = jnp.where((least > 0) & (total > 0), square / bound - 1, jnp.inf)
    scale = jnp.sum(multipliers.reshape(shape) * constraints.sizes())
    empty = (least <= 0) & (scale > 0) & (jnp.sqrt(square) <= _NOTHING * scale)
    return Measured(weights, least, jnp.maximum(gap, 0.0), empty)


def sweep(gram: Any, multipliers: Any, times: int) -> Any:
    """Exact maximisation in each multiplier in turn, `times` times over."""
    count, diagonal = multipliers.size, jnp.diagonal(gram)
    usable = diagonal > 0
    inverse = jnp.where(usable, 1 / jnp.where(usable, diagonal, 1.0), 0.0)

    def one(index: Any, carry: Any) -> Any:
        mu, slope = carry
        k = index % count
        fresh = jnp.maximum(mu[k] + slope[k] * inverse[k], 0.0)
        slope = slope - (fresh - mu[k]) * gram[k]
        return mu.at[k].set(fresh), slope

    slope = 1 - gram @ multipliers
    return jax.lax.fori_loop(0, times * count, one, (multipliers, slope))[0]


def face_solution(gram: Any, support: Any) -> Any:
    """Solves G x = 1 on the support and zero elsewhere, dependent rows allowed."""
    both = support[:, None] & support[None, :]
    masked = jnp.where(both, gram, 0.0)
    ridge = _RIDGE * jnp.max(jnp.diagonal(gram))
    filled = masked + jnp.diag(jnp.where(support, ridge, 1.0))
    factor = jax.scipy.linalg.cho_factor(filled, lower=True)
    rhs = support.astype(gram.dtype)
    x = jnp.zeros_like(rhs)
    for _ in range(3):  # after the first, these take the ridge back out
        x = x + jax.scipy.linalg.cho_solve(factor, rhs - masked @ x)
    return jnp.where(support, x, 0.0)


def _towards(gram: Any, mu: Any, target: Any) -> Any:
    """The better of the two ways to stay non-negative on the way from mu to target."""
    move = target - mu
    falling = move < 0
    ratio = jnp.where(falling, mu / jnp.where(falling, -move, 1.0), jnp.inf)
    length = jnp.minimum(jnp.min(ratio), 1.0)
    choices = jnp.stack(
        [mu, jnp.maximum(mu + length * move, 0.0), jnp.maximum(target, 0.0)]
    )
    worth = jnp.sum(choices - 0.5 * choices * (choices @ gram), axis=1)
    worth = jnp.where(jnp.isfinite(worth), worth, -jnp.inf)
    return choices[jnp.argmax(worth)]


@final
class DualActiveSet(AbstractMethod):
    """Coordinate ascent that finds the support, and a linear solve that finishes.

    **Options:**

    - `sweeps`: coordinate sweeps before each solve on the face found, >= 1.
    - `patience`: steps without a smaller gap after which the run is called stalled.
    """

    sweeps: int = 5
    patience: int = 200

    def validate(self) -> None:
        for field in ("sweeps", "patience"):
            count = getattr(self, field)
            require(self, field, count >= 1, expected=">= 1", got=count)

    def init(self, problem: AttentionSVM, key: Any) -> ActiveSetState:
        del key  # deterministic
        if problem.norm != "frobenius":
            expected = 'a problem with norm="frobenius"; use NuclearADMM()'
            raise InvalidMethod("DualActiveSet", expected, problem.norm)
        constraints = problem.constraints()
        return self._state(constraints, jnp.zeros(constraints.count))

    @eqx.filter_jit
    def _state(self, constraints: Constraints, multipliers: Any) -> ActiveSetState:
        found = measured(constraints, multipliers)
        gram = jnp.asarray(constraints.gram())
        zero = jnp.asarray(0, dtype=jnp.int64)
        return ActiveSetState(
            multipliers, multipliers, gram, found.gap, found.empty, zero, zero
        )

    def warm_start(
        self, problem: AttentionSVM, value: AttentionWeights, key: Any
    ) -> ActiveSetState:
        del key
        constraints = problem.constraints()
        start = jnp.maximum(jnp.asarray(value.multipliers), 0.0)
        start = jnp.where(constraints.active, start, 0.0)
        return self._state(constraints, start.reshape(-1))

    def step(self, problem: AttentionSVM, state: ActiveSetState) -> ActiveSetState:
        gram = state.gram
        swept = sweep(gram, state.multipliers, self.sweeps)
        mu = _towards(gram, swept, face_solution(gram, swept > 0))
        found = measured(problem.constraints(), mu)
        better = (found.gap < state.gap) | found.empty
        best = jnp.where(better | ~jnp.isfinite(state.gap), mu, state.best)
        gap = jnp.minimum(found.gap, state.gap)
        stalled = jnp.where(better, 0, state.stalled + 1)
        support = jnp.sum(mu > 0)
        return ActiveSetState(mu, best, gram, gap, found.empty, stalled, support)

    def done(self, problem: AttentionSVM, state: ActiveSetState) -> Bool[Array, ""]:
        good = (state.gap <= 0.25 * problem.gap_tol) & (state.stalled >= 1)
        over = good | (state.gap <= _EXACT) | state.empty
        return over | (state.stalled >= self.patience) | jnp.isnan(state.gap)

    def restage(
        self, problem: AttentionSVM, state: ActiveSetState
    ) -> ActiveSetState | None:
        """On the host, where nothing separates so far: looks for a Farkas witness."""
        if bool(state.empty) or np.isfinite(float(state.gap)):
            return None
        found = farkas(problem)
        if found is None:
            return None
        return eqx.tree_at(
            lambda s: (s.best, s.empty),
            state,
            (jnp.asarray(found.reshape(-1)), jnp.asarray(True)),
        )

    def finish(self, problem: AttentionSVM, state: ActiveSetState) -> AttentionWeights:
        constraints = problem.constraints()
        found = measured(constraints, state.best)
        return finished(problem, constraints, found.weights, state.best)

    def observe(self, problem: AttentionSVM, state: ActiveSetState) -> dict[str, Array]:
        del problem
        # A gap that is not known yet must not look like NaN to the driver.
        gap = jnp.minimum(state.gap, 1e300)
        return {"gap": gap, "support": state.support}

    def outcome(self, problem: AttentionSVM, state: ActiveSetState) -> Outcome:
        if bool(state.empty):
            return INFEASIBLE
        return CONVERGED if float(state.gap) <= float(problem.gap_tol) else STALLED

    def citations(self) -> tuple[str, ...]:
        return ("tarzanagh2023transformers", "hsieh2008dual", "lawson1974solving")


def finished(
    problem: Any, constraints: Constraints, weights: Any, multipliers: Any
) -> AttentionWeights:
    """W scaled so that every margin is 1 in exact arithmetic, mu on the same scale."""
    shape = constraints.active.shape
    mu = multipliers.reshape(shape)
    rounding = constraints.rounding(weights)
    sure = constraints.margins(weights) - rounding
    least = jnp.min(jnp.where(constraints.active, sure, jnp.inf))
    usable = least > 0
    scale = (1 + 2.0**-50) / jnp.where(usable, least, 1.0)
    total = jnp.sum(mu)
    share = jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1.0), 1.0)
    factor = jnp.where(usable, scale, share)
    return AttentionWeights(weights * factor, mu * factor, problem)


def max_margin_weights(
    tokens: Any, queries: Any, selected: Any, lengths: Any = None, max_steps: int = 200
) -> Array:
    """W of the Frobenius attention SVM as a differentiable function of its data.

    The derivative is that of the linear system on the support, so exact where each
    support token has a positive multiplier. Call inside `jax.enable_x64(True)`.

    **Arguments:**

    - `tokens` (n, T, d), `queries` (n, d), `selected` (n,), `lengths` (n,) or None.
    - `max_steps`: bound on the steps of `DualActiveSet`.

    **Returns:** W, shape (d, d); of no meaning where no weights separate.
    """
    tokens, queries = jnp.asarray(tokens), jnp.asarray(queries)
    if lengths is None:
        lengths = np.full(tokens.shape[0], tokens.shape[1])
    return _weights(tokens, queries, index64(selected), index64(lengths), max_steps)


@eqx.filter_jit
def _weights(
    tokens: Array, queries: Array, selected: Any, lengths: Any, max_steps: int
) -> Array:
    still = jax.lax.stop_gradient((tokens, queries))
    problem = AttentionSVM(*still, selected, lengths=lengths)
    _, state, _ = run(problem, DualActiveSet(), max_steps=max_steps)
    mu = state.multipliers  # constants: only which of them are positive counts
    moving = Constraints.of(tokens, queries, selected, lengths)
    found = face_solution(moving.gram(), jax.lax.stop_gradient(mu) > 0)
    return moving.combine(found.reshape(moving.active.shape))
