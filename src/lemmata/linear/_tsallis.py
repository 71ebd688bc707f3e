"""Tsallis-INF: follow the regularised leader with the Tsallis entropy of order 1/2.

Source: Zimmert and Seldin, JMLR 22 (2021); Khodak et al., ICLR 2024 (arXiv
2310.02246), algorithms 2 and 5.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from ..core import require
from ._policy import (
    ARMS,
    AbstractPolicy,
    Choice,
    Round,
    as_arms,
    check_arms,
    check_interval,
    check_scale,
    grid,
    loss_scale,
    pick,
)
from ._problem import Real


class TsallisState(eqx.Module):
    """Importance-weighted loss sums (groups, d); rounds and loss totals (groups,)."""

    sums: Array
    rounds: Array
    totals: Array


def tsallis_weights(scaled: Array, rate: Array) -> tuple[Array, Array]:
    """w_i = 4 / (eta (s_i - x))^2 with sum one, and x, for scaled sums s.

    Newton on sum w - 1, increasing and convex in x < min s, from x = min s - 2 / eta
    where the sum is at least one: the steps go down to the root and never past it.
    """
    least = jnp.min(scaled)

    def weights(x: Array) -> Array:
        # Where x comes within rounding of min s, the distance stays positive.
        return 4.0 / jnp.square(rate * (scaled - x))

    def unfinished(carry):
        x, last, steps = carry
        return (x < last) & (steps < 200)

    def advance(carry):
        x, _, steps = carry
        w = weights(x)
        slope = jnp.sum(2.0 * w / (scaled - x))
        return jnp.minimum(x, x - (jnp.sum(w) - 1.0) / slope), x, steps + 1

    first = least - 2.0 / rate
    carry = (first, first + 1.0, jnp.zeros((), jnp.int64))
    x, _, _ = jax.lax.while_loop(unfinished, advance, carry)
    w = weights(x)
    return w / jnp.sum(w), x


class _Group:
    """What one copy of Tsallis-INF does; a state may hold several."""

    @staticmethod
    def start(arms: int, groups: int) -> TsallisState:
        zero = jnp.zeros(groups)
        return TsallisState(jnp.zeros((groups, arms)), zero, zero)

    @staticmethod
    def weights(scale: Any, state: TsallisState, group: Any) -> Any:
        total, rounds = state.totals[group], state.rounds[group]
        size = loss_scale(scale, total, rounds)
        rate = 2.0 / jnp.sqrt(rounds + 1.0)
        return (*tsallis_weights(state.sums[group] / size, rate), size)

    @staticmethod
    def choose(policy: Any, state: TsallisState, group: Any, key: Any) -> Choice:
        arms = jnp.asarray(grid(policy.arms))
        weights, x, size = _Group.weights(policy.scale, state, group)
        arm, draw = pick(weights, key)
        return Choice.of(
            arms[arm],
            arm,
            probability=weights[arm],
            draw=draw,
            normaliser=x,
            scale=size,
            group=group,
        )

    @staticmethod
    def learn(state: TsallisState, choice: Choice, loss: Array) -> TsallisState:
        group = choice.group
        return TsallisState(
            state.sums.at[group, choice.arm].add(loss / choice.probability),
            state.rounds.at[group].add(1.0),
            state.totals.at[group].add(loss),
        )

    @staticmethod
    def final(policy: Any, state: TsallisState) -> Array:
        state = jax.tree.map(jnp.asarray, state)
        groups = jnp.arange(state.rounds.shape[0])
        return jax.lax.map(lambda g: _Group.weights(policy.scale, state, g)[1], groups)


@final
class TsallisINF(AbstractPolicy):
    """One bandit over a grid of relaxations; needs no context.

    **Options:**

    - `arms`: a count (so many on [1, 1.95]) or increasing values in (0, 2).
    - `scale`: K, a bound on iterations - 1, as the theorem wants; None: the running
      mean, as in the experiments, for which there is no theorem.
    """

    arms: Any = eqx.field(default=ARMS, converter=as_arms)
    scale: Real | None = None

    def validate(self) -> None:
        check_arms(self)
        check_scale(self)

    def start(self) -> TsallisState:
        return _Group.start(grid(self.arms).size, 1)

    def choose(self, state: TsallisState, round_: Round) -> Choice:
        return _Group.choose(self, state, jnp.zeros((), jnp.int64), round_.key)

    def learn(
        self, state: TsallisState, choice: Choice, context: Array, loss: Array
    ) -> TsallisState:
        return _Group.learn(state, choice, loss)

    def final_normalisers(self, state: TsallisState) -> Array:
        return _Group.final(self, state)

    def citations(self) -> tuple[str, ...]:
        return ("zimmert2021tsallis",)


@final
class BinnedTsallisINF(AbstractPolicy):
    """A Tsallis-INF with its own clock for each bin of the context.

    **Options:**

    - `arms`, `scale`: as for `TsallisINF`.
    - `bins`: how many of equal width.
    - `interval`: (a, b), where contexts lie; one outside ends the run.
    """

    interval: tuple[float, float]
    arms: Any = eqx.field(default=ARMS, converter=as_arms)
    bins: int = 5
    scale: Real | None = None

    def validate(self) -> None:
        check_arms(self)
        check_scale(self)
        check_interval(self)
        require(self, "bins", self.bins >= 1, expected=">= 1", got=self.bins)

    def start(self) -> TsallisState:
        return _Group.start(grid(self.arms).size, self.bins)

    def choose(self, state: TsallisState, round_: Round) -> Choice:
        low, high = self.interval
        share = (round_.context - low) / (high - low)
        group = jnp.clip(jnp.floor(share * self.bins), 0, self.bins - 1)
        return _Group.choose(self, state, group.astype(jnp.int64), round_.key)

    def learn(
        self, state: TsallisState, choice: Choice, context: Array, loss: Array
    ) -> TsallisState:
        return _Group.learn(state, choice, loss)

    def domain(self) -> tuple[float, float]:
        return self.interval

    def final_normalisers(self, state: TsallisState) -> Array:
        return _Group.final(self, state)

    def citations(self) -> tuple[str, ...]:
        return ("zimmert2021tsallis",)
