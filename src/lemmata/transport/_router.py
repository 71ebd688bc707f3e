"""Routers of a sparse mixture of experts: which tokens go to which experts.

Every router is an Equinox module with a bias-free linear map from tokens to logits and
the same interface; they differ in `route`. Source: Liu, Puigcerver, Blondel (2023),
section 5; the routers it is compared with are in `_router_baselines`.
"""

import abc
import math
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray

from ..core import AbstractValue, AnyArray, InvalidArgument
from ._sparse_derivative import implicit_plan
from ._topk import Oriented, semi_dual


@final
class Dispatch(AbstractValue):
    """What a router decided for one group of m tokens and n experts.

    **Fields:**

    - `dispatch` (m, n): token i is processed by expert j.
    - `requested` (m, n): it was to be, before buffers overflowed.
    - `combine` (m, n): weights of the experts' outputs, zero where not dispatched.
    """

    dispatch: Bool[AnyArray, "m n"]
    requested: Bool[AnyArray, "m n"]
    combine: Float[AnyArray, "m n"]

    def load(self) -> Any:
        """Tokens per expert, (n,)."""
        return self.dispatch.sum(axis=-2)

    def uncovered(self) -> Any:
        """Share of tokens that no expert processes."""
        return 1 - self.dispatch.any(axis=-1).mean(axis=-1)

    def dropped(self) -> Any:
        """Share of the requested pairs that overflowed a buffer."""
        lost = (self.requested & ~self.dispatch).sum(axis=(-2, -1))
        return lost / self.requested.sum(axis=(-2, -1))

    def pack(self) -> dict[str, np.ndarray]:
        """`combine` as float64."""
        return {
            "dispatch": np.asarray(self.dispatch, dtype="|b1"),
            "requested": np.asarray(self.requested, dtype="|b1"),
            "combine": np.asarray(self.combine, dtype="<f8"),
        }

    def uncertified(self) -> tuple[str, ...]:
        """The weights are the network's business."""
        return ("combine",)


def buffer_size(tokens: int, experts: int, factor: float) -> int:
    """ceil(tokens * factor / experts), up to a multiple of 4, at most `tokens`."""
    # A factor such as 1.05 is not exact: what rounding adds must not add a token.
    exact = tokens * factor / experts
    return min(4 * math.ceil(math.ceil(exact * (1 - 1e-12)) / 4), tokens)


class AbstractRouter(eqx.Module):
    """Tokens (m, d) to `Dispatch`, for one group; `route_groups` maps over groups.

    **Fields:**

    - `weight` (n, d): the linear map to logits.
    - `capacity_factor`: buffers hold `buffer_size(m, n, capacity_factor)` tokens.
    """

    weight: eqx.AbstractVar[Float[Array, "n d"]]
    capacity_factor: eqx.AbstractVar[float]

    @abc.abstractmethod
    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        """Decides from logits and the static size of the buffers; pure, jittable."""

    def __call__(self, tokens: Float[Array, "m d"]) -> Dispatch:
        """Routes one group of tokens."""
        experts = self.weight.shape[0]
        cap = buffer_size(tokens.shape[0], experts, self.capacity_factor)
        return self.route(tokens @ self.weight.T, cap)

    def route_groups(self, tokens: Float[Array, "g m d"]) -> Dispatch:
        """Routes every group by itself; all fields gain a leading axis."""
        return jax.vmap(self)(tokens)


def linear_map(in_size: int, num_experts: int, key: PRNGKeyArray) -> Array:
    """Normal weights (n, d) of standard deviation 1 / sqrt(d)."""
    scale = 1 / math.sqrt(in_size)
    return scale * jax.random.normal(key, (num_experts, in_size))


def check_router(module: AbstractRouter, in_size: int, num_experts: int) -> None:
    """Raises `InvalidArgument` for what all routers share."""
    name = type(module).__name__
    for field, value in (("in_size", in_size), ("num_experts", num_experts)):
        if not value >= 1:
            raise InvalidArgument(f"{name}.{field}", ">= 1", value)
    if not (math.isfinite(module.capacity_factor) and module.capacity_factor > 0):
        raise InvalidArgument(
            f"{name}.capacity_factor", "finite, > 0", module.capacity_factor
        )


@final
class SparseMatchingRouter(AbstractRouter):
    """Sparsity-constrained transport between tokens and experts: no buffer overflows.

    **Options:**

    - `combine`: `"softmax"`: weights are softmax values, the only way of the gradient;
      `"plan"`: entries of the plan, differentiated on its support.
    - `num_selected`: at most so many experts per token, instead of the buffers.
    - `steps`, `learning_rate`: of Adam on the semi-dual.
    - `gamma`: > 0, in units of softmax per mass; a token has mass 1.

    **Raises:** `InvalidArgument`, also for a capacity factor below 1 with plan weights:
    the experts together could then not hold the mass.
    """

    weight: Float[Array, "n d"]
    capacity_factor: float = eqx.field(static=True)
    combine: Literal["softmax", "plan"] = eqx.field(static=True)
    num_selected: int | None = eqx.field(static=True)
    steps: int = eqx.field(static=True)
    learning_rate: float = eqx.field(static=True)
    gamma: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        num_experts: int,
        capacity_factor: float = 1.05,
        *,
        combine: Literal["softmax", "plan"] = "softmax",
        num_selected: int | None = None,
        steps: int = 20,
        learning_rate: float = 1e-2,
        gamma: float = 1.0,
        key: PRNGKeyArray,
    ):
        self.capacity_factor, self.combine = capacity_factor, combine
        self.num_selected, self.steps = num_selected, steps
        self.learning_rate, self.gamma = learning_rate, gamma
        check_router(self, in_size, num_experts)
        self._check_options(num_experts)
        self.weight = linear_map(in_size, num_experts, key)

    def _check_options(self, num_experts: int) -> None:
        name = type(self).__name__
        known = ("softmax", "plan")
        if self.combine not in known:
            raise InvalidArgument(f"{name}.combine", f"one of {known}", self.combine)
        if self.combine == "plan" and self.capacity_factor < 1:
            expected = ">= 1 with combine='plan'"
            where = f"{name}.capacity_factor"
            raise InvalidArgument(where, expected, self.capacity_factor)
        chosen = self.num_selected
        if chosen is not None and not 1 <= chosen <= num_experts:
            expected = f"None or an integer in [1, {num_experts}]"
            raise InvalidArgument(f"{name}.num_selected", expected, chosen)
        for field in ("steps", "learning_rate", "gamma"):
            if not getattr(self, field) > 0:
                raise InvalidArgument(f"{name}.{field}", "> 0", getattr(self, field))

    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        m, n = logits.shape
        similarity = jax.nn.softmax(logits, axis=-1)
        plan = self._plan(jax.lax.stop_gradient(similarity), cap)
        dispatch = plan > 0
        if self.combine == "softmax":
            weights = jnp.where(dispatch, similarity, 0.0)
        else:
            ones, shares = jnp.ones(m, plan.dtype), jnp.full(n, m / n, plan.dtype)
            gamma = jnp.asarray(self.gamma, plan.dtype)
            weights = implicit_plan(plan, -similarity, ones, shares, gamma)
        return Dispatch(dispatch, dispatch, weights)

    def _plan(self, similarity: Array, cap: int) -> Array:
        """The selection plan (m, n) after the steps."""
        m, n = similarity.shape
        tokens = jnp.ones(m, similarity.dtype)
        experts = jnp.full(n, m / n, similarity.dtype)
        gamma = jnp.asarray(self.gamma, similarity.dtype)
        if self.num_selected is None:
            data = Oriented(-similarity.T, tokens, experts, gamma, cap)
        else:
            data = Oriented(-similarity, experts, tokens, gamma, self.num_selected)
        rule = optax.adam(self.learning_rate)

        def advance(carry, _):
            alpha, moments = carry
            update, moments = rule.update(-semi_dual(data, alpha).gradient, moments)
            return (alpha + jnp.asarray(update), moments), None

        zero = jnp.zeros_like(data.free)
        start = (zero, rule.init(zero))
        (alpha, _), _ = jax.lax.scan(advance, start, None, length=self.steps)
        topk = semi_dual(data, alpha).topk
        points = jnp.arange(data.capped.shape[0])[:, None]
        plan = jnp.zeros_like(data.cost).at[points, topk.indices].set(topk.mass)
        return plan.T if self.num_selected is None else plan
