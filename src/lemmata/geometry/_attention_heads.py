"""Heads h of the model h(X' s): linear, the authors' two others, any callable."""

import abc
import hashlib
from typing import Any, ClassVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64

from ..core import AnyArray, InvalidProblem, array64

LOSSES = ("logistic", "exponential", "correlation")


class AbstractHead(eqx.Module):
    """A scalar function of the attended token."""

    name: ClassVar[str]

    @abc.abstractmethod
    def __call__(self, x: Any) -> Any:
        """h(x) for x of shape (d,)."""

    @abc.abstractmethod
    def pack(self) -> dict[str, np.ndarray]:
        """Arrays by the names that a packed problem has."""

    def expects(self, d: int) -> tuple[str, bool]:
        """(what shape is expected, whether it is met) for tokens of width d."""
        del d
        return "", True

    def described(self) -> str:
        """Name and digest: a head may hold many numbers."""
        found = hashlib.sha256()
        for name, array in sorted(self.pack().items()):
            found.update(f"{name}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return f"{self.name} {found.hexdigest()[:16]}"


@final
class LinearHead(AbstractHead):
    """h(x) = v'x: then y_i v'x_it is the score of a token.

    **Fields:** `vector`: v, shape (d,).
    """

    name: ClassVar[str] = "linear"
    vector: Float64[AnyArray, " d"] = eqx.field(converter=array64)

    def __call__(self, x: Any) -> Any:
        return jnp.sum(self.vector * x)

    def pack(self) -> dict[str, np.ndarray]:
        return {"head_vector": np.ascontiguousarray(self.vector, dtype="<f8")}

    def expects(self, d: int) -> tuple[str, bool]:
        return f"a vector of shape ({d},)", np.shape(self.vector) == (d,)


@final
class ReluHead(AbstractHead):
    """h(x) = 1' relu(V x): one hidden layer, added up.

    **Fields:** `matrix`: V, shape (hidden, d).
    """

    name: ClassVar[str] = "relu"
    matrix: Float64[AnyArray, "h d"] = eqx.field(converter=array64)

    def __call__(self, x: Any) -> Any:
        return jnp.sum(jnp.maximum(self.matrix @ x, 0.0))

    def pack(self) -> dict[str, np.ndarray]:
        return {"head_matrix": np.ascontiguousarray(self.matrix, dtype="<f8")}

    def expects(self, d: int) -> tuple[str, bool]:
        shape = np.shape(self.matrix)
        return f"a matrix (hidden, {d})", len(shape) == 2 and shape[1] == d


@final
class QuadraticHead(AbstractHead):
    """h(x) = v'x - lambda ||x||^2.

    **Fields:** `vector`: v, shape (d,); `strength`: lambda, shape (1,).
    """

    name: ClassVar[str] = "quadratic"
    vector: Float64[AnyArray, " d"] = eqx.field(converter=array64)
    strength: Float64[AnyArray, " 1"]

    def __init__(self, vector: Any, strength: Any = 1.0):
        self.vector = vector
        found = array64(strength)
        self.strength = found.reshape(-1) if isinstance(found, np.ndarray) else found

    def __call__(self, x: Any) -> Any:
        return jnp.sum(self.vector * x) - jnp.sum(self.strength) * jnp.sum(x * x)

    def pack(self) -> dict[str, np.ndarray]:
        return {
            "head_vector": np.ascontiguousarray(self.vector, dtype="<f8"),
            "head_strength": np.ascontiguousarray(self.strength, dtype="<f8"),
        }

    def expects(self, d: int) -> tuple[str, bool]:
        fits = np.shape(self.vector) == (d,) and np.shape(self.strength) == (1,)
        return f"a vector of shape ({d},) and one number", fits


@final
class CallableHead(AbstractHead):
    """Any differentiable function of a token, such as an Equinox module.

    It travels as its arrays alone: a problem that is read back from a file knows what
    was trained, but not the function. No claim depends on it.

    **Fields:** `function`: maps an array (d,) to a scalar, by JAX operations.
    """

    name: ClassVar[str] = "callable"
    function: Any

    def __call__(self, x: Any) -> Any:
        return jnp.reshape(self.function(x), ())

    def pack(self) -> dict[str, np.ndarray]:
        leaves = jax.tree.leaves(eqx.filter(self.function, eqx.is_array))
        return {
            f"head_leaf_{k}": np.asarray(leaf, dtype="<f8")
            for k, leaf in enumerate(leaves)
        }


@final
class _Forgotten(eqx.Module):
    """Stands for a function that did not travel."""

    leaves: tuple[Any, ...]

    def __call__(self, x: Any) -> Any:
        del x
        expected = "the function itself: make the problem from it again"
        raise InvalidProblem("AttentionTraining.head", expected, "a head read back")


def unpack_head(name: Any, arrays: dict[str, Any]) -> AbstractHead:
    """The head of a packed problem; takes its arrays out of `arrays`."""
    given = {k: arrays.pop(k) for k in list(arrays) if k.startswith("head_")}

    def take(part: str) -> Any:
        if part not in given:
            expected = f"the array {part} for head={name!r}"
            raise InvalidProblem("AttentionTraining.head", expected, sorted(given))
        return given[part]

    if name == LinearHead.name:
        return LinearHead(take("head_vector"))
    if name == ReluHead.name:
        return ReluHead(take("head_matrix"))
    if name == QuadraticHead.name:
        return QuadraticHead(take("head_vector"), take("head_strength"))
    if name == CallableHead.name:
        leaves = sorted(given, key=lambda k: int(k.rpartition("_")[2]))
        return CallableHead(_Forgotten(tuple(given[k] for k in leaves)))
    expected = "'linear', 'relu', 'quadratic' or 'callable'"
    raise InvalidProblem("AttentionTraining.head", expected, repr(name))


def loss(name: str, margin: Any) -> Any:
    """l(m), elementwise: log(1 + exp(-m)), exp(-m) or -m."""
    if name == "logistic":
        return jnp.logaddexp(jnp.zeros_like(margin), -margin)
    return jnp.exp(-margin) if name == "exponential" else -margin


def loss_slope(name: str, margin: Array) -> Array:
    """l'(m), elementwise, negative."""
    if name == "logistic":
        return -jax.nn.sigmoid(-margin)
    return -jnp.exp(-margin) if name == "exponential" else -jnp.ones_like(margin)


def loss_excess(name: str, best: Array, log_loss_of_score: Array) -> Array:
    """log(l(b - delta) - l(b)) from b and log delta, without cancellation.

    Logistic: log1p(expm1(delta) sigmoid(-b)); exponential: exp(-b) expm1(delta); both
    are -l'(b) delta for small delta.
    """
    small = log_loss_of_score < -20.0
    delta = jnp.exp(jnp.where(small, -20.0, log_loss_of_score))
    if name == "logistic":
        # log(1 + exp(-b) exp(delta)) - log(1 + exp(-b)), safe for large delta
        large = jnp.logaddexp(jnp.zeros_like(best), delta - best) - jnp.logaddexp(
            jnp.zeros_like(best), -best
        )
        ratio = jax.nn.sigmoid(-best)
        modest = jnp.log1p(jnp.expm1(jnp.minimum(delta, 30.0)) * ratio)
        exact = jnp.log(jnp.where(delta > 30.0, large, modest))
        slope = jax.nn.log_sigmoid(-best)
    elif name == "exponential":
        exact, slope = jnp.log(jnp.expm1(delta)) - best, -best
    else:
        exact, slope = jnp.log(delta), jnp.zeros_like(best)
    return jnp.where(small, slope + log_loss_of_score, exact)
