"""Two networks whose flatness bounds a norm: two-layer ReLU and diagonal linear.

Source: Wu and Su, ICML 2023 (arXiv 2305.17490), sections 4 and 5; the data forms and
constants are derived below.

A network is a callable of `(params, x)`; `rows` gives n vectors with the inner products
of the gradients of its n outputs, in as few columns as its structure allows.
"""

import abc
from typing import Any, ClassVar, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..core import array64

KINK = 1e-12  # |b'x| below this: the gradient of a ReLU is not defined


class NormBound(NamedTuple):
    """A norm that the trace of the Hessian bounds from above, on these data.

    - `norm`: the path norm sum |a_j| ||b_j||, or the l_1 norm of the predictor.
    - `weighted`: its data form, at most Tr G.
    """

    norm: Any
    weighted: Any


class AbstractStabilityModel(eqx.Module):
    """A network known by name, which the judge evaluates itself."""

    name: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    @abc.abstractmethod
    def __call__(self, params: dict[str, Any], x: Any) -> Any:
        """The output for one input `x`, shape (d,): a number."""

    @abc.abstractmethod
    def predictions(self, params: dict[str, Any], inputs: Any) -> Any:
        """The outputs for all inputs, (n, d) -> (n,)."""

    @abc.abstractmethod
    def rows(self, params: dict[str, Any], inputs: Any) -> Any:
        """Shape (n, q): inner products are those of the gradients."""

    @abc.abstractmethod
    def norm_bound(self, params: dict[str, Any], inputs: Any) -> NormBound:
        """Path or l_1 norm, and its data form."""

    @abc.abstractmethod
    def trace(self, params: dict[str, Any], inputs: Any) -> Any:
        """Tr G, without the rows."""

    @abc.abstractmethod
    def draw(self, key: Any, features: int, width: int, scale: Any) -> dict[str, Any]:
        """Initial parameters of size `scale`, in JAX; `width` neurons if it has any."""

    @abc.abstractmethod
    def fault(self, params: Any, inputs: Any) -> tuple[str, Any] | None:
        """What is wrong with the parameters (expected, got), or None."""


def _library(array: Any) -> Any:
    return np if isinstance(array, np.ndarray) else jnp


def _shapes(params: Any, names: tuple[str, ...]) -> tuple[str, Any] | None:
    expected = f"a dictionary of arrays {' and '.join(names)}"
    if not isinstance(params, dict) or set(params) != set(names):
        got = sorted(params) if isinstance(params, dict) else type(params).__name__
        return expected, got
    return None


@final
class DiagonalLinear(AbstractStabilityModel):
    """f(x) = sum_j first_j second_j x_j, or sum_j (first_j^2 - second_j^2) x_j.

    **Fields:**

    - `squares`: the second form.

    Parameters: `{"first": (d,), "second": (d,)}`. The gradients for `first_j` and
    `second_j` are multiples of x_j, so that one column sqrt(first_j^2 + second_j^2) x_j
    (twice that for squares) stands for both.
    """

    squares: bool = eqx.field(static=True, default=False)
    name: ClassVar[str] = "diagonal"
    names: ClassVar[tuple[str, ...]] = ("first", "second")

    def predictor(self, params: dict[str, Any]) -> Any:
        """The vector w with f(x) = w'x, shape (d,)."""
        first, second = params["first"], params["second"]
        return first**2 - second**2 if self.squares else first * second

    def __call__(self, params: dict[str, Any], x: Any) -> Any:
        return x @ self.predictor(params)

    def predictions(self, params: dict[str, Any], inputs: Any) -> Any:
        return inputs @ self.predictor(params)

    def rows(self, params: dict[str, Any], inputs: Any) -> Any:
        library = _library(params["first"])
        size = library.sqrt(params["first"] ** 2 + params["second"] ** 2)
        return inputs * ((2.0 if self.squares else 1.0) * size)

    def norm_bound(self, params: dict[str, Any], inputs: Any) -> NormBound:
        """||w||_1 and 2 sum_j s_j |w_j| (4 for squares), s_j the mean of x_ij^2.

        a^2 + b^2 >= 2 |ab|, and 4 (u^2 + v^2) >= 4 |u^2 - v^2|.
        """
        w = abs(self.predictor(params))
        s = (inputs**2).mean(axis=0)
        return NormBound(w.sum(), (4.0 if self.squares else 2.0) * (s * w).sum())

    def trace(self, params: dict[str, Any], inputs: Any) -> Any:
        size = params["first"] ** 2 + params["second"] ** 2
        return (4.0 if self.squares else 1.0) * (size * (inputs**2).mean(axis=0)).sum()

    def draw(self, key: Any, features: int, width: int, scale: Any) -> dict[str, Any]:
        del key, width  # every entry `scale`, so that w begins at zero
        first = jnp.full(features, 1.0) * scale
        return {"first": first, "second": first if self.squares else 0.0 * first}

    def fault(self, params: Any, inputs: Any) -> tuple[str, Any] | None:
        if (wrong := _shapes(params, self.names)) is not None:
            return wrong
        got = tuple(np.shape(params[name]) for name in self.names)
        d = inputs.shape[1]
        return None if got == ((d,), (d,)) else (f"two vectors of shape ({d},)", got)


@final
class TwoLayerReLU(AbstractStabilityModel):
    """f(x) = sum_j outer_j relu(inner_j'x), no biases (append a 1 to x for them).

    Parameters: `{"inner": (m, d), "outer": (m,)}`.
    """

    name: ClassVar[str] = "two_layer"
    names: ClassVar[tuple[str, ...]] = ("inner", "outer")

    def __call__(self, params: dict[str, Any], x: Any) -> Any:
        return jax.nn.relu(params["inner"] @ x) @ params["outer"]

    def predictions(self, params: dict[str, Any], inputs: Any) -> Any:
        library = _library(params["inner"])
        return library.maximum(inputs @ params["inner"].T, 0.0) @ params["outer"]

    def rows(self, params: dict[str, Any], inputs: Any) -> Any:
        library = _library(params["inner"])
        before = inputs @ params["inner"].T
        active = (before > 0) * params["outer"]
        inner = (active[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
        return library.concatenate([library.maximum(before, 0.0), inner], axis=1)

    def norm_bound(self, params: dict[str, Any], inputs: Any) -> NormBound:
        """sum_j |a_j| ||b_j|| and 2 sum_j |a_j| sqrt(m_j k_j).

        The part of neuron j in Tr G is m_j + a_j^2 k_j, with m_j the mean of
        relu(b_j'x)^2 and k_j that of 1(b_j'x > 0) ||x||^2.
        """
        library = _library(params["inner"])
        m, k = self._masses(params, inputs)
        a = abs(params["outer"])
        sizes = library.sqrt((params["inner"] ** 2).sum(axis=1))
        return NormBound((a * sizes).sum(), 2 * (a * library.sqrt(m * k)).sum())

    def trace(self, params: dict[str, Any], inputs: Any) -> Any:
        m, k = self._masses(params, inputs)
        return (m + params["outer"] ** 2 * k).sum()

    def _masses(self, params: dict[str, Any], inputs: Any) -> tuple[Any, Any]:
        library = _library(params["inner"])
        before = inputs @ params["inner"].T
        m = (library.maximum(before, 0.0) ** 2).mean(axis=0)
        k = ((before > 0) * (inputs**2).sum(axis=1)[:, None]).mean(axis=0)
        return m, k

    def draw(self, key: Any, features: int, width: int, scale: Any) -> dict[str, Any]:
        one, two = jax.random.split(key)
        shape = (width, features)
        inner = jax.random.normal(one, shape, dtype=jnp.float64) / features**0.5
        outer = jax.random.normal(two, shape[:1], dtype=jnp.float64) / width**0.5
        return {"inner": scale * inner, "outer": scale * outer}

    def fault(self, params: Any, inputs: Any) -> tuple[str, Any] | None:
        if (wrong := _shapes(params, self.names)) is not None:
            return wrong
        inner, outer = np.shape(params["inner"]), np.shape(params["outer"])
        if len(inner) != 2 or inner[1] != inputs.shape[1] or outer != inner[:1]:
            expected = f"inner (m, {inputs.shape[1]}) and outer (m,)"
            return expected, (inner, outer)
        before = np.abs(np.asarray(inputs) @ np.asarray(params["inner"]).T)
        # A neuron of zero weights is dead, and its gradient is zero by convention.
        alive = np.any(np.asarray(params["inner"]) != 0, axis=1)
        close = int(np.sum((before < KINK) & alive))
        if close:
            return "no sample at a kink (|b'x| < 1e-12)", f"{close} such pairs"
        return None

    @staticmethod
    def balanced(params: dict[str, Any], features: int) -> dict[str, Any]:
        """The same function with ||b_j|| = sqrt(d) |a_j|.

        That is the flattest rescaling for isotropic inputs. Shapes as given; neurons of
        zero weight stay.
        """
        inner, outer = array64(params["inner"]), array64(params["outer"])
        sizes = np.linalg.norm(inner, axis=1)
        alive = (sizes > 0) & (outer != 0)
        ratio = np.sqrt(features) * np.abs(outer) / np.where(sizes > 0, sizes, 1.0)
        factor = np.where(alive, np.sqrt(np.where(alive, ratio, 1.0)), 1.0)
        return {"inner": inner * factor[:, None], "outer": outer / factor}


MODELS: dict[str, Any] = {
    "diagonal": DiagonalLinear(),
    "diagonal_squares": DiagonalLinear(squares=True),
    "two_layer": TwoLayerReLU(),
}


def model_name(model: Any) -> str:
    """The name under which a network travels."""
    squares = isinstance(model, DiagonalLinear) and model.squares
    return model.name + ("_squares" if squares else "")
