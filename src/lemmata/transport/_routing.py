"""Routing of one group of tokens as a problem, so that buffers are certified."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float64

from lemmata_checker import Packed

from ..core import (
    AbstractMethod,
    AbstractProblem,
    AnyArray,
    Claim,
    InvalidArgument,
    array64,
    require,
)
from ._router import AbstractRouter, Dispatch, SparseMatchingRouter


@final
class Routing(AbstractProblem):
    """Send m tokens to n experts of which each has room for `cap`.

    **Fields:**

    - `logits` (m, n): affinity of tokens and experts, finite, no unit.
    - `cap`: tokens that one expert's buffer holds, an integer in [1, m].

    **Raises:** `InvalidProblem`.
    """

    logits: Float64[AnyArray, "m n"] = eqx.field(converter=array64)
    cap: int = eqx.field(static=True)

    def validate(self) -> None:
        logits = self.logits
        shape = np.shape(logits)
        good = len(shape) == 2 and min(shape) > 0
        require(self, "logits", good, expected="shape (m, n), m, n > 0", got=shape)
        real = logits.dtype == np.float64
        require(self, "logits", real, expected="real numbers", got=logits.dtype)
        bad = int(np.sum(~np.isfinite(logits)))
        got = f"{bad} that are not"
        require(self, "logits", bad == 0, expected="finite entries", got=got)
        whole = isinstance(self.cap, int) and not isinstance(self.cap, bool)
        good = whole and 1 <= self.cap <= shape[0]
        expected = f"an integer in [1, {shape[0]}]"
        require(self, "cap", good, expected=expected, got=repr(self.cap))

    def pack(self) -> Packed:
        logits = np.ascontiguousarray(self.logits, dtype="<f8")
        return Packed("transport.routing/1", {"cap": int(self.cap)}, {"logits": logits})

    def claims(self, value: Dispatch) -> tuple[Claim, ...]:
        del value
        return (Claim("transport.buffer/1", float(self.cap)),)

    def candidate(self, *, dispatch: Any, requested: Any = None) -> Dispatch:
        """A value from elsewhere.

        **Arguments:** `dispatch`, `requested`: masks (m, n); None: nothing more than
        was dispatched had been requested.

        **Raises:** `InvalidArgument` for another shape.
        """
        masks = [dispatch, dispatch if requested is None else requested]
        names, shape = ("dispatch", "requested"), np.shape(self.logits)
        for name, mask in zip(names, masks, strict=True):
            if np.shape(mask) != shape:
                where = f"candidate.{name}"
                raise InvalidArgument(where, f"shape {shape}", np.shape(mask))
        first, second = (np.asarray(mask, dtype=bool) for mask in masks)
        return Dispatch(first, second, first.astype(np.float64))

    def value_from(self, arrays: dict[str, np.ndarray]) -> Dispatch:
        return Dispatch(**arrays)

    def default_method(self) -> "Route":
        router = SparseMatchingRouter(1, self.logits.shape[1], key=jax.random.key(0))
        return Route(router)


class RouteState(eqx.Module):
    """Nothing at first, the decision after the one step."""

    routed: Array
    value: Dispatch


@final
class Route(AbstractMethod):
    """Has a router decide, from the problem's logits and cap.

    **Options:** `router`: any of the routers; its linear map and capacity factor are
    not used.
    """

    router: AbstractRouter

    def init(self, problem: Routing, key: Any) -> RouteState:
        del key
        none = jnp.zeros(problem.logits.shape, dtype=bool)
        weights = jnp.zeros(problem.logits.shape)
        return RouteState(jnp.asarray(False), Dispatch(none, none, weights))

    def step(self, problem: Routing, state: RouteState) -> RouteState:
        del state
        logits = jnp.asarray(problem.logits)
        value = self.router.route(logits, problem.cap)
        return RouteState(jnp.asarray(True), value)

    def done(self, problem: Routing, state: RouteState) -> Array:
        del problem
        return state.routed

    def finish(self, problem: Routing, state: RouteState) -> Dispatch:
        del problem
        return state.value

    def citations(self) -> tuple[str, ...]:
        sparse = isinstance(self.router, SparseMatchingRouter)
        return ("liu2023sparsity",) if sparse else ()
