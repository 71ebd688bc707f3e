"""Necessary conditions for the stability of SGD: what is usually looked at instead.

Each finds a learning rate above which SGD is unstable (or seems so), and hands over the
matrix M on which that rests; the identity stands in for S. The judge then says how much
of the truth they see.

Sources: Wu and Su, ICML 2023 (trace); Wu, Wang and Su, NeurIPS 2022 (Frobenius norm).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float64, Int64

from ..core import AbstractMethod, require
from ._mean_square import RANK_TOLERANCE, Moments, coordinates
from ._stability_value import Stability

_INFINITE = 1e300  # a condition that allows everything


class StabilityTestState(eqx.Module):
    """Coordinates, directions d (runs, r) of length one, their log lengths, and M."""

    rows: Float64[Array, "n k r"]
    spectrum: Float64[Array, " r"]
    basis: Float64[Array, "r q"]
    values: Float64[Array, " r"]
    matrix: Float64[Array, "r r"]
    rate: Float64[Array, ""]
    directions: Float64[Array, "runs r"]
    lengths: Float64[Array, " runs"]
    alignment: Float64[Array, ""]
    steps: Int64[Array, ""]
    key: Any


class AbstractStabilityTest(AbstractMethod):
    """A method that answers with a learning rate and a test matrix."""

    def _begin(self, problem: Any, key: Any, runs: int) -> StabilityTestState:
        found = coordinates(problem.rows(), RANK_TOLERANCE)
        r = len(found.spectrum)
        key, draw = jax.random.split(key)
        directions = jax.random.normal(draw, (runs, r), dtype=jnp.float64)
        directions = jnp.where(found.spectrum > 0, directions, 0.0)
        size = jnp.linalg.norm(directions, axis=1, keepdims=True)
        return StabilityTestState(
            *found,
            matrix=jnp.eye(r),
            rate=jnp.asarray(jnp.inf, dtype=jnp.float64),
            directions=directions / size,
            lengths=jnp.zeros(runs),
            alignment=jnp.asarray(jnp.inf, dtype=jnp.float64),
            steps=jnp.asarray(0, dtype=jnp.int64),
            key=key,
        )

    def done(self, problem: Any, state: StabilityTestState) -> Bool[Array, ""]:
        return state.steps >= 1

    def finish(self, problem: Any, state: StabilityTestState) -> Stability:
        return problem.value_of(
            state.rows,
            state.basis,
            state.values,
            lyapunov=jnp.eye(len(state.spectrum)),
            growth=state.matrix,
            max_learning_rate=jnp.minimum(state.rate, _INFINITE),
        )

    def observe(self, problem: Any, state: StabilityTestState) -> dict[str, Array]:
        return {"max_learning_rate": jnp.minimum(state.rate, _INFINITE)}


def _moments(problem: Any, state: StabilityTestState) -> Moments:
    return Moments(state.rows, state.spectrum, problem.share)


def _rate(moments: Moments, matrix: Array) -> Array:
    """2 <M, C(M)> / <M, D(M)>: unstable above it, whatever M."""
    below = moments.inner(matrix, matrix)
    return 2 * below / jnp.sum(matrix * moments.noise(matrix))


def _ended(state: StabilityTestState, matrix: Array, rate: Array) -> Any:
    return eqx.tree_at(
        lambda s: (s.matrix, s.rate, s.steps), state, (matrix, rate, state.steps + 1)
    )


@final
class TraceTest(AbstractStabilityTest):
    """The identity as test matrix.

    (1-c) ||G||_F^2 / Tr G + c mean ||g||^4 / Tr G must not exceed 2 / eta. For batches
    of one this implies Tr G <= 2 / eta.
    """

    def init(self, problem: Any, key: Any) -> StabilityTestState:
        return self._begin(problem, key, 1)

    def step(self, problem: Any, state: StabilityTestState) -> StabilityTestState:
        eye = jnp.eye(len(state.spectrum))
        return _ended(state, eye, _rate(_moments(problem, state), eye))

    def citations(self) -> tuple[str, ...]:
        return ("wu2023implicit",)


@final
class GradientDescentTest(AbstractStabilityTest):
    """lambda_max <= 2 / eta: exact for full batches, necessary for all others."""

    def init(self, problem: Any, key: Any) -> StabilityTestState:
        return self._begin(problem, key, 1)

    def step(self, problem: Any, state: StabilityTestState) -> StabilityTestState:
        first = jnp.zeros_like(state.spectrum).at[0].set(1.0)
        return _ended(state, jnp.outer(first, first), 2 / state.spectrum[0])


def batch_weights(
    key: Any, n: int, batch_size: Any, replacement: bool, runs: int
) -> Array:
    """Weights of n samples in one batch each for `runs` runs, rows summing to one.

    `batch_size` may be traced.
    """
    if replacement:
        rows = jnp.arange(runs)

        def take(k: Any, counts: Array) -> Array:
            drawn = jax.random.randint(jax.random.fold_in(key, k), (runs,), 0, n)
            return counts.at[rows, drawn].add(1.0)

        counts = jax.lax.fori_loop(0, batch_size, take, jnp.zeros((runs, n)))
        return counts / batch_size
    drawn = jax.random.uniform(key, (runs, n), dtype=jnp.float64)
    ranks = jnp.argsort(jnp.argsort(drawn, axis=1), axis=1)
    return jnp.where(ranks < batch_size, 1.0 / batch_size, 0.0)


def _moved(problem: Any, state: StabilityTestState) -> StabilityTestState:
    """One step of linearised SGD for every run, lengths kept as logarithms."""
    n, outputs, r = state.rows.shape
    key, draw = jax.random.split(state.key)
    runs = len(state.lengths)
    weights = batch_weights(draw, n, problem.batch_size, problem.replacement, runs)
    flat = state.rows.reshape(n * outputs, r)
    along = state.directions @ flat.T * jnp.repeat(weights, outputs, axis=1)
    moved = state.directions - problem.learning_rate * along @ flat
    size = jnp.linalg.norm(moved, axis=1)
    safe = jnp.maximum(size, 1e-300)
    return eqx.tree_at(
        lambda s: (s.directions, s.lengths, s.steps, s.key),
        state,
        (moved / safe[:, None], state.lengths + jnp.log(safe), state.steps + 1, key),
    )


@final
class FrobeniusTest(AbstractStabilityTest):
    """||G||_F <= sqrt(1 / (c mu)) / eta, mu the least alignment of gradient noise seen.

    mu(d) = Tr(S G) / (2 L ||G||_F^2) with S the covariance of single gradients and L
    the loss at displacement d, both of the linearised model; d follows SGD itself.
    Necessary for E[L] to stay bounded if no direction is less aligned than those seen:
    evidence, no proof.

    **Options:**

    - `steps`: directions looked at, >= 1.
    """

    steps: int = 64

    def validate(self) -> None:
        require(self, "steps", self.steps >= 1, expected=">= 1", got=self.steps)

    def init(self, problem: Any, key: Any) -> StabilityTestState:
        return self._begin(problem, key, 1)

    def step(self, problem: Any, state: StabilityTestState) -> StabilityTestState:
        mu = noise_alignment(state.rows, state.spectrum, state.directions[0])
        least = jnp.minimum(state.alignment, mu)
        frobenius = jnp.sqrt(jnp.sum(state.spectrum**2))
        rate = 1 / (frobenius * jnp.sqrt(problem.share * least + 1e-300))
        moved = _moved(problem, state)
        return eqx.tree_at(lambda s: (s.alignment, s.rate), moved, (least, rate))

    def done(self, problem: Any, state: StabilityTestState) -> Bool[Array, ""]:
        return state.steps >= self.steps

    def observe(self, problem: Any, state: StabilityTestState) -> dict[str, Array]:
        return {
            "max_learning_rate": jnp.minimum(state.rate, _INFINITE),
            "least_alignment": state.alignment,
        }

    def citations(self) -> tuple[str, ...]:
        return ("wu2022alignment",)


def noise_alignment(rows: Array, spectrum: Array, direction: Array) -> Array:
    """mu(d) of linearised SGD in coordinates in which G is diagonal."""
    n, outputs, r = rows.shape
    flat = rows.reshape(n * outputs, r)
    along = (flat @ direction).reshape(n, outputs)
    each = jnp.einsum("ik,ikr->ir", along, rows)  # gradients of single samples
    mean = spectrum * direction
    noise = jnp.sum(each**2 * spectrum) / n - jnp.sum(mean**2 * spectrum)
    loss = jnp.sum(spectrum * direction**2) / 2
    return noise / (2 * loss * jnp.sum(spectrum**2))


@final
class SimulateLinearised(AbstractStabilityTest):
    """Runs of the linearised recursion; M is the second moment that they end with.

    Above the threshold the mean grows while most runs may shrink, so neither mean nor
    median decides anything: the trace records both.

    **Options:**

    - `runs`, `steps`: how many, and how long; >= 1.
    """

    runs: int = 400
    steps: int = 200

    def validate(self) -> None:
        require(self, "runs", self.runs >= 1, expected=">= 1", got=self.runs)
        require(self, "steps", self.steps >= 1, expected=">= 1", got=self.steps)

    def init(self, problem: Any, key: Any) -> StabilityTestState:
        return self._begin(problem, key, self.runs)

    def step(self, problem: Any, state: StabilityTestState) -> StabilityTestState:
        return _moved(problem, state)

    def done(self, problem: Any, state: StabilityTestState) -> Bool[Array, ""]:
        return state.steps >= self.steps

    def finish(self, problem: Any, state: StabilityTestState) -> Stability:
        weights = jnp.exp(2 * (state.lengths - jnp.max(state.lengths)))
        matrix = state.directions.T @ (weights[:, None] * state.directions)
        rate = _rate(_moments(problem, state), matrix)
        ended = eqx.tree_at(lambda s: (s.matrix, s.rate), state, (matrix, rate))
        return super().finish(problem, ended)

    def observe(self, problem: Any, state: StabilityTestState) -> dict[str, Array]:
        largest = jnp.max(state.lengths)
        mean = jnp.mean(jnp.exp(2 * (state.lengths - largest)))
        ten = jnp.log(10.0)
        return {
            "log10_mean_square": (2 * largest + jnp.log(mean)) / ten,
            "log10_median_square": 2 * jnp.median(state.lengths) / ten,
        }
