"""Plays policies over a table of costs, without solving anything again.

Source: Khodak et al., ICLR 2024 (arXiv 2310.02246), section 4.
"""

from collections.abc import Mapping
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import AbstractMethod, Claim, InvalidArgument, Withheld, require
from ._chebyshev_bandit import ChebCB
from ._policy import AbstractPolicy, Round, grid
from ._relaxation_table import PlayedArms, RelaxationTable

_CONTEXTUAL = "linear.contextual/1"
EXCESS = 1.15  # promised of ChebCB over Young's relaxation for each system


class PlayState(eqx.Module):
    """Trials played, and their arms (R, T)."""

    trial: Array
    arms: Array
    key: Any


@final
class PlayPolicy(AbstractMethod):
    """Plays a policy over a table, one trial per step, each with its own key.

    **Options:**

    - `policy`: one with arms; they must be the table's relaxations.
    - `trials`: R, how many.
    - `window`: rounds at the end over which ChebCB's cost is compared with Young's.
    """

    policy: AbstractPolicy
    trials: int = 8
    window: int = 500

    def validate(self) -> None:
        good = hasattr(self.policy, "arms") and isinstance(self.policy, AbstractPolicy)
        got = type(self.policy).__name__
        require(self, "policy", good, expected="a policy with arms", got=got)
        for name in ("trials", "window"):
            count = getattr(self, name)
            require(self, name, count >= 1, expected=">= 1", got=count)

    def init(self, problem: RelaxationTable, key: Any) -> PlayState:
        steps, count = problem.counts.shape
        arms = grid(getattr(self.policy, "arms", 0)).size
        if arms != count:
            expected = f"{count} arms, those of the table"
            raise InvalidArgument("PlayPolicy.policy.arms", expected, arms)
        table = jnp.zeros((self.trials, steps), jnp.int64)
        return PlayState(jnp.zeros((), jnp.int64), table, key)

    def step(self, problem: RelaxationTable, state: PlayState) -> PlayState:
        key = jax.random.fold_in(state.key, state.trial)
        counts = jnp.asarray(problem.counts)
        steps = counts.shape[0]
        contexts = jnp.zeros(steps) if problem.context is None else problem.context

        def play(memory: Any, index: Array) -> tuple[Any, Array]:
            context, own = contexts[index], jax.random.fold_in(key, index)
            offer = Round(context, own, _unknown, _unknown)
            choice = self.policy.choose(memory, offer)
            cost = counts[index, choice.arm]
            loss = jnp.maximum(cost - 1.0, 0.0)
            known = self.policy.learn(memory, choice, context, loss)
            keep = cost > 0
            known = jax.tree.map(lambda a, b: jnp.where(keep, a, b), known, memory)
            return known, choice.arm

        _, arms = jax.lax.scan(play, self.policy.start(), jnp.arange(steps))
        return PlayState(
            state.trial + 1, state.arms.at[state.trial].set(arms), state.key
        )

    def done(self, problem: RelaxationTable, state: PlayState) -> Array:
        return state.trial >= self.trials

    def finish(self, problem: RelaxationTable, state: PlayState) -> PlayedArms:
        return PlayedArms(state.arms)

    def observe(self, problem: RelaxationTable, state: PlayState) -> dict[str, Array]:
        arms = state.arms[jnp.maximum(state.trial - 1, 0)]
        counts = jnp.asarray(problem.counts)
        cost = jnp.take_along_axis(counts, arms[:, None], axis=1)[:, 0]
        return {"mean_cost": jnp.mean(cost.astype(jnp.float64))}

    def claims(
        self,
        problem: RelaxationTable,
        value: PlayedArms,
        state: PlayState,
        trace: Mapping[str, np.ndarray],
    ) -> tuple[Claim | Withheld, ...]:
        del value, state, trace
        if not isinstance(self.policy, ChebCB):
            return (Withheld(_CONTEXTUAL, "a statement about ChebCB alone"),)
        if problem.optimal is None:
            reason = "the table does not hold the counts of Young's relaxation"
            return (Withheld(_CONTEXTUAL, reason),)
        window = min(self.window, problem.counts.shape[0])
        return (Claim(_CONTEXTUAL, EXCESS, {}, {"window": window}),)

    def citations(self) -> tuple[str, ...]:
        return ("khodak2024learning", *self.policy.citations())


def _unknown(*_: Any) -> Any:
    raise InvalidArgument(
        "PlayPolicy.policy", "one that looks at counts alone", "other"
    )
