"""ChebCB: inverse-gap weighting over Chebyshev regressions of the cost on the context.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), algorithm 3; Foster and Rakhlin,
ICML 2020, for inverse-gap weighting.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import require
from ._box_regression import box_least_squares
from ._policy import (
    ARMS,
    AbstractPolicy,
    Choice,
    Round,
    as_arms,
    check_arms,
    check_interval,
    grid,
    pick,
)


class ChebyshevState(eqx.Module):
    """Sums of the normal equations per arm, and what the weighting's rate needs.

    **Fields:** `gram` (d, m, m), `moment` (d, m), `square` (d,): sums of phi phi^T,
    loss phi, loss^2. `theta` (d, m), in iterations. `errors`: sum of squared errors of
    predictions at the time they were made. `rate` is eta; `limits`, the box's (m,).
    """

    gram: Array
    moment: Array
    square: Array
    theta: Array
    limits: Array
    errors: Array
    rounds: Array
    largest: Array
    smallest: Array
    rate: Array


@final
class ChebCB(AbstractPolicy):
    """Predicts each arm's cost from the context, and explores by the predicted gaps.

    **Options:**

    - `interval`: (a, b), where contexts lie; one outside ends the run.
    - `arms`: a count (so many on [1, 1.95]) or increasing values in (0, 2).
    - `degree`: m, Chebyshev polynomials T_0 .. T_{m-1} of the context, >= 1.

    The regression is kept in iterations: with the paper's K and N, theta = theta_paper
    K N, so the box |theta_0| <= K, |theta_j| <= 2 (b - a) Lip / j and the fit do not
    depend on N, and predictions made before K or N changed stay comparable.
    """

    interval: tuple[float, float]
    arms: Any = eqx.field(default=ARMS, converter=as_arms)
    degree: int = 6

    def validate(self) -> None:
        check_arms(self)
        check_interval(self)
        require(self, "degree", self.degree >= 1, expected=">= 1", got=self.degree)

    def start(self) -> ChebyshevState:
        d, m, zero = grid(self.arms).size, self.degree, jnp.zeros(())
        return ChebyshevState(
            jnp.zeros((d, m, m)),
            jnp.zeros((d, m)),
            jnp.zeros(d),
            jnp.zeros((d, m)),
            jnp.zeros(m),
            zero,
            zero,
            zero,
            zero + jnp.inf,
            zero,
        )

    def features(self, context: Array) -> Array:
        """T_0 .. T_{m-1} at 2 (c - a) / (b - a) - 1."""
        low, high = self.interval
        x = 2.0 * (context - low) / (high - low) - 1.0
        values = [jnp.ones_like(x), x]
        for _ in range(2, self.degree):
            values.append(2.0 * x * values[-1] - values[-2])
        return jnp.stack(values[: self.degree])

    def choose(self, state: ChebyshevState, round_: Round) -> Choice:
        arms = jnp.asarray(grid(self.arms))
        predicted = state.theta @ self.features(round_.context)
        best = jnp.argmin(predicted)
        gap = (predicted - predicted[best]) / self._unit(state)
        weights = 1.0 / (arms.size + state.rate * gap)
        rest = 1.0 - (jnp.sum(weights) - weights[best])
        weights = weights.at[best].set(rest)
        arm, draw = pick(weights, round_.key)
        return Choice.of(arms[arm], arm, probability=weights[arm], draw=draw)

    def _variation(self, state: ChebyshevState) -> Array:
        """(b - a) Lip = largest - smallest loss."""
        return jnp.where(state.rounds > 0, state.largest - state.smallest, 0.0)

    def _unit(self, state: ChebyshevState) -> Array:
        """K N, in iterations: what a prediction of 1 stands for."""
        largest = jnp.maximum(state.largest, 1.0)
        share = self._variation(state) / largest
        return largest * (2.0 + 4.0 * share * (1.0 + np.log(self.degree)))

    def learn(
        self, state: ChebyshevState, choice: Choice, context: Array, loss: Array
    ) -> ChebyshevState:
        arm, phi = choice.arm, self.features(context)
        error = state.theta[arm] @ phi - loss
        seen = ChebyshevState(
            state.gram.at[arm].add(phi[:, None] * phi[None, :]),
            state.moment.at[arm].add(loss * phi),
            state.square.at[arm].add(loss * loss),
            state.theta,
            state.limits,
            state.errors + error * error,
            state.rounds + 1.0,
            jnp.maximum(state.largest, loss),
            jnp.minimum(state.smallest, loss),
            state.rate,
        )
        return self._refitted(seen, arm)

    def _refitted(self, state: ChebyshevState, arm: Array) -> ChebyshevState:
        steps = jnp.arange(1, self.degree)
        first = jnp.maximum(state.largest, 1.0)[None]
        limits = jnp.concatenate([first, 2.0 * self._variation(state) / steps])
        same = jnp.all(limits == state.limits)

        def one() -> Array:
            found = box_least_squares(state.gram[arm], state.moment[arm], limits)
            return state.theta.at[arm].set(found)

        def every() -> Array:
            pairs = (state.gram, state.moment)
            return jax.lax.map(lambda p: box_least_squares(p[0], p[1], limits), pairs)

        theta = jax.lax.cond(same, one, every)
        changed = eqx.tree_at(lambda s: (s.theta, s.limits), state, (theta, limits))
        return eqx.tree_at(lambda s: s.rate, changed, self._rate(changed))

    def _rate(self, state: ChebyshevState) -> Array:
        """2 t sqrt(d t / (R - res + 2 alpha^2 t)), R and res in units of (K N)^2."""
        theta, t, unit, m = state.theta, state.rounds, self._unit(state), self.degree
        fitted = jnp.einsum("di,dij,dj->d", theta, state.gram, theta)
        residual = state.square - 2.0 * jnp.sum(theta * state.moment, axis=1) + fitted
        excess = state.errors - jnp.sum(residual)
        constant = np.pi + 2.0 / np.pi * np.log(2 * m + 1)
        alpha = constant * self._variation(state) / (2.0 * unit * (m + 1))
        spread = jnp.maximum(excess, 0.0) / unit**2 + 2.0 * alpha**2 * t
        arms = theta.shape[0]
        # A spread of zero (all costs alike) would make the rate infinite.
        return 2.0 * t * jnp.sqrt(arms * t / jnp.maximum(spread, 1e-12))

    def domain(self) -> tuple[float, float]:
        return self.interval

    def citations(self) -> tuple[str, ...]:
        return ("foster2020beyond",)
