"""A toy system with a toy rule: the contract can be tested without any room."""

from typing import ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64

from lemmata.core import (
    AbstractMethod,
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    Outcome,
    array64,
    require,
)
from lemmata_checker.case import Case, Measurement, Rule
from lemmata_checker.packed import Packed


def _residual(case: Case) -> Measurement:
    a, b, x = case.problem.arrays["a"], case.problem.arrays["b"], case.value["x"]
    return Measurement(float(np.max(np.abs(b - a * x))))


RULE = Rule("toy.residual/1", "proof", "<=", "max|b - a x|", "", _residual)


@final
class Root(AbstractValue):
    x: Float64[AnyArray, " n"]

    def pack(self):
        return {"x": np.asarray(self.x)}


@final
class Diagonal(AbstractProblem):
    """Find x with a x = b, entrywise."""

    a: Float64[AnyArray, " n"] = eqx.field(converter=array64)
    b: Float64[AnyArray, " n"] = eqx.field(converter=array64)
    tol: float = 1e-10
    secret: bool = eqx.field(default=False, static=True)

    def validate(self):
        require(self, "a", np.all(self.a > 0), expected="positive entries", got=self.a)

    def pack(self):
        arrays = {"a": np.asarray(self.a), "b": np.asarray(self.b)}
        return Packed("toy.diagonal/1", {"tol": float(self.tol)}, arrays)

    def claims(self, value):
        return (Claim("toy.residual/1", float(self.tol)),)

    def candidate(self, *, x):
        return Root(np.asarray(x, dtype=np.float64))

    def value_from(self, arrays):
        return Root(arrays["x"])

    def default_method(self):
        return Damped()

    def disclosed(self):
        return frozenset({"problem/a"}) if self.secret else None


class DampedState(eqx.Module):
    x: Float64[Array, " n"]
    noise: Float64[Array, ""]
    key: Array


@final
class Damped(AbstractMethod):
    """x <- x + damping (b - a x) / a, with noise that must survive a checkpoint."""

    damping: float = 0.5
    room: int = eqx.field(default=0, static=True)

    def init(self, problem, key):
        return DampedState(jnp.zeros_like(problem.b), jnp.asarray(0.0), key)

    def step(self, problem, state):
        key, now = jax.random.split(state.key)
        noise = 1e-3 * jax.random.normal(now, dtype=jnp.float64)
        pull = self.damping * (1 + noise)
        x = state.x + pull * (problem.b - problem.a * state.x) / problem.a
        return DampedState(x, noise, key)

    def done(self, problem, state):
        return ~(self._residual(problem, state) > 0.5 * problem.tol)

    def finish(self, problem, state):
        return Root(state.x)

    def observe(self, problem, state):
        return {"residual": self._residual(problem, state), "noise": state.noise}

    def warm_start(self, problem, value, key):
        return DampedState(jnp.asarray(value.x), jnp.asarray(0.0), key)

    def _residual(self, problem, state):
        return jnp.max(jnp.abs(problem.b - problem.a * state.x))


@final
class Hosted(AbstractMethod):
    """The same in NumPy, with an outcome of its own."""

    host: ClassVar[bool] = True

    def init(self, problem, key):
        return np.zeros_like(problem.b)

    def step(self, problem, state):
        return state + 0.5 * (problem.b - problem.a * state) / problem.a

    def done(self, problem, state):
        return not np.max(np.abs(problem.b - problem.a * state)) > 0.5 * problem.tol

    def finish(self, problem, state):
        return Root(state)

    def outcome(self, problem, state):
        return Outcome("tired", "Rest, then try again.")

    def to_arrays(self, state):
        return {"x": state}

    def from_arrays(self, problem, arrays):
        return arrays["x"]


@final
class Boastful(AbstractMethod):
    """A right answer with a false claim about the run."""

    host: ClassVar[bool] = True

    def init(self, problem, key):
        return problem.b / problem.a

    def step(self, problem, state):
        return state

    def done(self, problem, state):
        return True

    def finish(self, problem, state):
        return Root(state)

    def claims(self, problem, value, state, trace):
        return (Claim("toy.speed/1", -1.0),)


SPEED = Rule(
    "toy.speed/1", "evidence", "<=", "a rate", "", lambda case: Measurement(1.0)
)
