"""How a method holds the weights, and how it computes their gradient."""

import abc
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core import InvalidMethod, require
from ._attention_training import (
    AttentionTraining,
    stable_gradient,
    textbook_gradient,
)
from ._attention_value import TrainedAttention


class Parts(NamedTuple):
    """W alone, or K and Q; W stands first and the other is empty (d, 0)."""

    first: Array
    second: Array


class AbstractParameterization(eqx.Module):
    """W itself, or W = K Q'."""

    @abc.abstractmethod
    def start(self, d: int, scale: Any, key: Any) -> Parts:
        """Uniform in (-1, 1) / sqrt(d) times `scale`."""

    @abc.abstractmethod
    def weights(self, parts: Parts) -> Array:
        """W, shape (d, d)."""

    @abc.abstractmethod
    def pull_back(self, parts: Parts, gradient: Array) -> Parts:
        """The gradient in the parts, from that in W."""

    @abc.abstractmethod
    def of(self, value: TrainedAttention) -> Parts:
        """The parts of an earlier answer."""

    @abc.abstractmethod
    def value(self, parts: Parts) -> TrainedAttention:
        """The answer that parts stand for."""


def _uniform(key: Any, d: int, m: int, scale: Any) -> Array:
    drawn = jax.random.uniform(key, (d, m), jnp.float64, -1.0, 1.0)
    return drawn * (scale / d**0.5)


@final
class Joint(AbstractParameterization):
    """W (d, d): gradient descent leads to the Frobenius SVM."""

    def start(self, d: int, scale: Any, key: Any) -> Parts:
        return Parts(_uniform(key, d, d, scale), jnp.zeros((d, 0)))

    def weights(self, parts: Parts) -> Array:
        return parts.first

    def pull_back(self, parts: Parts, gradient: Array) -> Parts:
        return Parts(gradient, parts.second)

    def of(self, value: TrainedAttention) -> Parts:
        w = jnp.asarray(value.weights)
        return Parts(w, jnp.zeros((w.shape[0], 0)))

    def value(self, parts: Parts) -> TrainedAttention:
        return TrainedAttention(parts.first)


@final
class Factored(AbstractParameterization):
    """W = K Q': gradient descent leads to the nuclear SVM.

    **Options:**

    - `width`: columns m of K and Q, 1 <= m <= d; None is d.
    """

    width: int | None = None

    def start(self, d: int, scale: Any, key: Any) -> Parts:
        m = d if self.width is None else self.width
        if not 1 <= m <= d:
            raise InvalidMethod("Factored.width", f"1 to d = {d}", m)
        one, two = jax.random.split(key)
        return Parts(_uniform(one, d, m, scale), _uniform(two, d, m, scale))

    def weights(self, parts: Parts) -> Array:
        return parts.first @ parts.second.T

    def pull_back(self, parts: Parts, gradient: Array) -> Parts:
        return Parts(gradient @ parts.second, gradient.T @ parts.first)

    def of(self, value: TrainedAttention) -> Parts:
        if value.factored:
            parts = (value.key_weights, value.query_weights)
            return Parts(*(jnp.asarray(part) for part in parts))
        left, values, rows = jnp.linalg.svd(jnp.asarray(value.weights))
        m = left.shape[0] if self.width is None else self.width
        root = jnp.sqrt(values[:m])[None, :]
        return Parts(left[:, :m] * root, rows[:m].T * root)

    def value(self, parts: Parts) -> TrainedAttention:
        return TrainedAttention(None, parts.first, parts.second)


class AbstractGradient(eqx.Module):
    """A way to compute the gradient of the mean loss in W."""

    @abc.abstractmethod
    def __call__(
        self, problem: AttentionTraining, weights: Array
    ) -> tuple[Array, Array]:
        """(G, c): the gradient is e^c G."""


@final
class StableGradient(AbstractGradient):
    """By differences to the top token, on a scale that cannot underflow."""

    def __call__(
        self, problem: AttentionTraining, weights: Array
    ) -> tuple[Array, Array]:
        return stable_gradient(problem, weights)


@final
class TextbookGradient(AbstractGradient):
    """By automatic differentiation: round-off once softmax saturates. A baseline."""

    def __call__(
        self, problem: AttentionTraining, weights: Array
    ) -> tuple[Array, Array]:
        return textbook_gradient(problem, weights)


def check_counts(method: eqx.Module, *fields: str) -> None:
    """Each field is a whole number of at least one."""
    for field in fields:
        count = getattr(method, field)
        good = isinstance(count, int) and not isinstance(count, bool) and count >= 1
        require(method, field, good, expected="a whole number >= 1", got=count)
