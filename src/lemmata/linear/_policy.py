"""Policies: pick a relaxation before each system, learn from what the solve cost."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from ..core import AnyArray, array64, require
from ._problem import Real

LARGEST = 1.95  # of the grids in the paper's code
ARMS = 20


class Choice(eqx.Module):
    """What a policy decided in one round, and what is needed to see that it had to.

    **Fields:** `relaxation`; `arm` (-1 where it has none); `probability` that the arm
    had; `draw`, uniform in [0, 1), that picked it; `normaliser`, `scale`, `group` of
    Tsallis-INF, else 0.
    """

    relaxation: Array
    arm: Array
    probability: Array
    draw: Array
    normaliser: Array
    scale: Array
    group: Array

    @classmethod
    def of(cls, relaxation: Any, arm: Any = -1, **rest: Any) -> "Choice":
        """A choice with what is not given left at its neutral value."""
        values = {
            "probability": 1.0,
            "draw": 0.0,
            "normaliser": 0.0,
            "scale": 0.0,
        } | rest
        group = values.pop("group", 0)
        return cls(
            jnp.asarray(relaxation, jnp.float64),
            jnp.asarray(arm, jnp.int64),
            group=jnp.asarray(group, jnp.int64),
            **{name: jnp.asarray(v, jnp.float64) for name, v in values.items()},
        )


class Round(NamedTuple):
    """What a policy may look at before a system is solved.

    - `context`: known beforehand; `key`: this round's own; `radius()`: the Jacobi
      radius, `cost(relaxation)`: the iterations that a value would take, for policies
      that no one can have online.
    """

    context: Array
    key: Any
    radius: Callable[[], Array]
    cost: Callable[[Array], Array]


class AbstractPolicy(eqx.Module):
    """An immutable set of options; its memory is the state that it hands back.

    `start`, `choose` and `learn` are pure and compiled.
    """

    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def start(self) -> Any:
        """The state before the first round."""

    @abc.abstractmethod
    def choose(self, state: Any, round_: Round) -> Choice:
        """The relaxation for this round's system."""

    def learn(self, state: Any, choice: Choice, context: Array, loss: Array) -> Any:
        """The state after the system took `loss` iterations more than one."""
        del choice, context, loss
        return state

    def domain(self) -> tuple[Any, Any] | None:
        """Where contexts must lie, (a, b); None where they are not looked at."""
        return None

    def outside(self, context: Array) -> Array:
        """Whether a context lies outside what the policy was made for."""
        interval = self.domain()
        if interval is None:
            return jnp.zeros_like(context, dtype=bool)
        low, high = interval
        return ~((context >= low) & (context <= high))

    def final_normalisers(self, state: Any) -> Array:
        """Tsallis-INF's normaliser after the last round, one per group; else (0,)."""
        del state
        return jnp.zeros(0)

    def __check_init__(self) -> None:
        from ..core import is_concrete

        if is_concrete(self):
            self.validate()

    def citations(self) -> tuple[str, ...]:
        """Keys in `references.bib`."""
        return ()


def check_relaxation(policy: Any, field: str, value: Any) -> None:
    """In (0, 2). Raises `InvalidMethod`."""
    good = 0 < value < 2
    require(policy, field, good, expected="in (0, 2)", got=value)


def as_arms(arms: Any) -> Any:
    """Converter: a count stays one, values become an array."""
    whole = isinstance(arms, int | np.integer) and not isinstance(arms, bool)
    return int(arms) if whole else array64(arms)


def grid(arms: Any) -> AnyArray:
    """The arms as an array: a count means so many on [1, 1.95]."""
    if isinstance(arms, int):
        return np.linspace(1.0, LARGEST, max(arms, 0))
    return arms


def check_arms(policy: Any) -> None:
    """At least one arm, increasing, in (0, 2). Raises `InvalidMethod`."""
    arms = grid(policy.arms)
    vector = getattr(arms, "ndim", 0) == 1 and arms.dtype == np.float64
    got = getattr(arms, "shape", type(arms).__name__)
    require(policy, "arms", vector, expected="a count or a vector", got=got)
    require(policy, "arms", arms.size > 0, expected="at least one arm", got="none")
    rising = bool(np.all(np.diff(arms) > 0)) and bool(np.all(np.isfinite(arms)))
    require(policy, "arms", rising, expected="increasing values", got=arms)
    inside = 0 < arms[0] and arms[-1] < 2
    got = f"[{arms[0]:g}, {arms[-1]:g}]"
    require(policy, "arms", inside, expected="values in (0, 2)", got=got)


def check_interval(policy: Any) -> None:
    """A < b, finite. Raises `InvalidMethod`."""
    interval = policy.interval
    pair = isinstance(interval, tuple) and len(interval) == 2
    require(policy, "interval", pair, expected="a pair (a, b)", got=interval)
    low, high = interval
    good = bool(np.isfinite(low) and np.isfinite(high) and low < high)
    require(policy, "interval", good, expected="a < b, finite", got=interval)


def pick(weights: Array, key: Any) -> tuple[Array, Array]:
    """An index by inverse transform, and the uniform number that picked it."""
    draw = jax.random.uniform(key, dtype=jnp.float64)
    index = jnp.sum(jnp.cumsum(weights) <= draw)
    return jnp.minimum(index, weights.size - 1), draw


def loss_scale(scale: Real | None, total: Array, rounds: Array) -> Array:
    """The given bound, or the mean loss so far (1 before there is one)."""
    if scale is not None:
        return jnp.asarray(scale, jnp.float64)
    return jnp.where(total > 0, total / jnp.maximum(rounds, 1.0), 1.0)


def check_scale(policy: Any) -> None:
    """None or positive. Raises `InvalidMethod`."""
    if policy.scale is not None:
        good = 0 < policy.scale < np.inf
        require(policy, "scale", good, expected="None or > 0", got=policy.scale)
