"""Policies to compare with: fixed, by formula, in hindsight, and other bandits.

Source: Young (1971) for the formula; Auer, Cesa-Bianchi, Freund and Schapire, SIAM J.
Comput. 32 (2002), for EXP3; Khodak et al., ICLR 2024 (arXiv 2310.02246), section 4.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import require
from ._policy import (
    ARMS,
    AbstractPolicy,
    Choice,
    Round,
    as_arms,
    check_arms,
    check_relaxation,
    check_scale,
    grid,
    loss_scale,
    pick,
)
from ._problem import Real


@final
class FixedRelaxation(AbstractPolicy):
    """The same relaxation for every system.

    **Options:** `relaxation`: in (0, 2); 1 is Gauss-Seidel.
    """

    relaxation: Real = 1.0

    def validate(self) -> None:
        check_relaxation(self, "relaxation", self.relaxation)

    def start(self) -> Array:
        return jnp.zeros(())

    def choose(self, state: Array, round_: Round) -> Choice:
        return Choice.of(self.relaxation)


def young_relaxation(radius: Any) -> Any:
    """omega* = 1 + (beta / (1 + sqrt(1 - beta^2)))^2, beta the Jacobi radius."""
    return 1.0 + (radius / (1.0 + jnp.sqrt(1.0 - radius * radius))) ** 2


@final
class YoungRelaxation(AbstractPolicy):
    """Young's best relaxation for SOR, from the Jacobi radius of each system.

    **Options:** `radius`: one for all systems, in [0, 1); None asks the stream.
    """

    radius: Real | None = None

    def validate(self) -> None:
        if self.radius is not None:
            good = 0 <= self.radius < 1
            require(self, "radius", good, expected="in [0, 1)", got=self.radius)

    def start(self) -> Array:
        return jnp.zeros(())

    def choose(self, state: Array, round_: Round) -> Choice:
        radius = round_.radius() if self.radius is None else self.radius
        return Choice.of(young_relaxation(jnp.asarray(radius, jnp.float64)))

    def citations(self) -> tuple[str, ...]:
        return ("young1971iterative",)


@final
class GoldenSection(AbstractPolicy):
    """The best relaxation for each system in hindsight: what no online policy can have.

    The arms seed a bracket, golden section narrows it; where two counts tie, the
    sides are kept alternately. Only the final solve is charged.

    **Options:** `arms`: the seeds, a count or increasing values; `evaluations`: solves
    after those of the seeds.
    """

    arms: Any = eqx.field(default=5, converter=as_arms)
    evaluations: int = 12

    def validate(self) -> None:
        check_arms(self)
        good = self.evaluations >= 1
        require(self, "evaluations", good, expected=">= 1", got=self.evaluations)

    def start(self) -> Array:
        return jnp.zeros(())

    def choose(self, state: Array, round_: Round) -> Choice:
        arms = jnp.asarray(grid(self.arms))
        costs = jax.lax.map(round_.cost, arms)
        best = jnp.argmin(costs)
        low = arms[jnp.maximum(best - 1, 0)]
        high = arms[jnp.minimum(best + 1, arms.size - 1)]
        golden = (jnp.sqrt(5.0) - 1.0) / 2.0

        def narrow(index: Array, carry: Any) -> Any:
            low, high, left, right, at_left, at_right, best, least = carry
            # Ties alternate, so that a flat valley is closed in from both sides.
            keep = (at_left < at_right) | ((at_left == at_right) & (index % 2 == 0))
            low, high = jnp.where(keep, low, left), jnp.where(keep, right, high)
            fresh = jnp.where(
                keep, high - golden * (high - low), low + golden * (high - low)
            )
            cost = round_.cost(fresh)
            better = cost < least
            best, least = jnp.where(better, fresh, best), jnp.where(better, cost, least)
            moved = (jnp.where(keep, fresh, right), jnp.where(keep, left, fresh))
            costs = (jnp.where(keep, cost, at_right), jnp.where(keep, at_left, cost))
            return low, high, *moved, *costs, best, least

        left, right = high - golden * (high - low), low + golden * (high - low)
        first, second = round_.cost(left), round_.cost(right)
        known = jnp.stack([arms[best], left, right])
        found = jnp.stack([costs[best], first, second])
        place = jnp.argmin(found)
        carry = (low, high, left, right, first, second, known[place], found[place])
        count = max(self.evaluations - 2, 0)
        *_, best, _ = jax.lax.fori_loop(0, count, narrow, carry)
        return Choice.of(best)


class CommitState(eqx.Module):
    """Rounds so far, and each arm's total loss."""

    rounds: Array
    losses: Array


@final
class ExploreThenCommit(AbstractPolicy):
    """Each arm in turn for a while, then the one that cost least, for ever.

    **Options:** `arms`: a count (so many on [1, 1.95]) or increasing values; `pulls`:
    how often each is tried.
    """

    arms: Any = eqx.field(default=ARMS, converter=as_arms)
    pulls: int = 5

    def validate(self) -> None:
        check_arms(self)
        require(self, "pulls", self.pulls >= 1, expected=">= 1", got=self.pulls)

    def start(self) -> CommitState:
        return CommitState(jnp.zeros((), jnp.int64), jnp.zeros(grid(self.arms).size))

    def choose(self, state: CommitState, round_: Round) -> Choice:
        arms = jnp.asarray(grid(self.arms))
        exploring = state.rounds < self.pulls * arms.size
        arm = jnp.where(exploring, state.rounds % arms.size, jnp.argmin(state.losses))
        return Choice.of(arms[arm], arm)

    def learn(
        self, state: CommitState, choice: Choice, context: Array, loss: Array
    ) -> CommitState:
        exploring = state.rounds < self.pulls * state.losses.size
        losses = state.losses.at[choice.arm].add(jnp.where(exploring, loss, 0.0))
        return CommitState(state.rounds + 1, losses)


class ExponentialState(eqx.Module):
    """Importance-weighted sums (d,), rounds, and the sum of losses seen."""

    sums: Array
    rounds: Array
    total: Array


@final
class EXP3(AbstractPolicy):
    """Exponential weights on importance-weighted losses.

    With t the round, weights are proportional to exp(-eta S_i / K), eta =
    sqrt(2 log d / (d t)).

    **Options:** `arms`: a count (so many on [1, 1.95]) or increasing values; `scale`:
    K, a bound on the loss; None: the running mean of losses.
    """

    arms: Any = eqx.field(default=ARMS, converter=as_arms)
    scale: Real | None = None

    def validate(self) -> None:
        check_arms(self)
        check_scale(self)

    def start(self) -> ExponentialState:
        zero = jnp.zeros(())
        return ExponentialState(jnp.zeros(grid(self.arms).size), zero, zero)

    def choose(self, state: ExponentialState, round_: Round) -> Choice:
        arms = jnp.asarray(grid(self.arms))
        scale = loss_scale(self.scale, state.total, state.rounds)
        rate = jnp.sqrt(
            2 * np.log(max(arms.size, 2)) / (arms.size * (state.rounds + 1))
        )
        weights = jax.nn.softmax(-rate * state.sums / scale)
        arm, draw = pick(weights, round_.key)
        return Choice.of(arms[arm], arm, probability=weights[arm], draw=draw)

    def learn(
        self, state: ExponentialState, choice: Choice, context: Array, loss: Array
    ) -> ExponentialState:
        sums = state.sums.at[choice.arm].add(loss / choice.probability)
        return ExponentialState(sums, state.rounds + 1, state.total + loss)

    def citations(self) -> tuple[str, ...]:
        return ("auer2002nonstochastic",)
