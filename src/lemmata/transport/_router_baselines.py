"""Routers that sparse matching is compared with, behind the same interface.

Sources: Shazeer et al., Outrageously large neural networks (2017), for token choice;
Zhou et al., Mixture-of-experts with expert choice routing (2022); Clark et al., Unified
scaling laws for routed language models (2022), for Sinkhorn; Lewis et al., BASE layers
(2021), for the balanced assignment.
"""

import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PRNGKeyArray
from scipy.optimize import linear_sum_assignment

from ..core import InvalidArgument
from ._router import AbstractRouter, Dispatch, check_router, linear_map


def _ranked(scores: Array, count: int) -> Array:
    """Mask (c, f) of the `count` largest entries per row."""
    places = jax.lax.top_k(scores, count)[1]
    rows = jnp.arange(scores.shape[0])[:, None]
    return jnp.zeros(scores.shape, bool).at[rows, places].set(True)


@final
class TokenChoiceRouter(AbstractRouter):
    """Every token asks for its `num_selected` best experts; full buffers drop the rest.

    First choices are served before second ones, earlier tokens before later ones.
    """

    weight: Float[Array, "n d"]
    capacity_factor: float = eqx.field(static=True)
    num_selected: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        num_experts: int,
        capacity_factor: float = 1.05,
        *,
        num_selected: int = 1,
        key: PRNGKeyArray,
    ):
        self.capacity_factor, self.num_selected = capacity_factor, num_selected
        check_router(self, in_size, num_experts)
        if not 1 <= num_selected <= num_experts:
            expected = f"an integer in [1, {num_experts}]"
            where = f"{type(self).__name__}.num_selected"
            raise InvalidArgument(where, expected, num_selected)
        self.weight = linear_map(in_size, num_experts, key)

    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        m, n = logits.shape
        similarity = jax.nn.softmax(logits, axis=-1)
        choices = jax.lax.top_k(similarity, self.num_selected)[1]
        # Queue: all first choices in order of the tokens, then all second ones.
        asked = jax.nn.one_hot(choices.T.reshape(-1), n, dtype=jnp.int32)
        served = (asked > 0) & (jnp.cumsum(asked, axis=0) <= cap)
        shape = (self.num_selected, m, n)
        requested = jnp.any(asked.reshape(shape) > 0, axis=0)
        dispatch = jnp.any(served.reshape(shape), axis=0)
        return Dispatch(dispatch, requested, jnp.where(dispatch, similarity, 0.0))


@final
class ExpertChoiceRouter(AbstractRouter):
    """Every expert takes the tokens it scores highest; tokens may be left out."""

    weight: Float[Array, "n d"]
    capacity_factor: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        num_experts: int,
        capacity_factor: float = 1.05,
        *,
        key: PRNGKeyArray,
    ):
        self.capacity_factor = capacity_factor
        check_router(self, in_size, num_experts)
        self.weight = linear_map(in_size, num_experts, key)

    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        similarity = jax.nn.softmax(logits, axis=-1)
        dispatch = _ranked(similarity.T, cap).T
        return Dispatch(dispatch, dispatch, jnp.where(dispatch, similarity, 0.0))


@final
class SinkhornRouter(AbstractRouter):
    """Entropic transport of tokens to experts, cut to every expert's largest entries.

    **Options:** `epsilon` > 0, in units of the softmax; `steps`: sweeps.
    """

    weight: Float[Array, "n d"]
    capacity_factor: float = eqx.field(static=True)
    epsilon: float = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        num_experts: int,
        capacity_factor: float = 1.05,
        *,
        epsilon: float = 0.05,
        steps: int = 20,
        key: PRNGKeyArray,
    ):
        self.capacity_factor, self.epsilon, self.steps = capacity_factor, epsilon, steps
        check_router(self, in_size, num_experts)
        for field in ("epsilon", "steps"):
            if not getattr(self, field) > 0:
                where = f"{type(self).__name__}.{field}"
                raise InvalidArgument(where, "> 0", getattr(self, field))
        self.weight = linear_map(in_size, num_experts, key)

    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        m, n = logits.shape
        similarity = jax.nn.softmax(logits, axis=-1)
        kernel = jax.lax.stop_gradient(similarity) / self.epsilon

        def sweep(v, _):
            u = -jax.nn.logsumexp(kernel + v, axis=1)
            v = math.log(m / n) - jax.nn.logsumexp(kernel + u[:, None], axis=0)
            return v, None

        v, _ = jax.lax.scan(sweep, jnp.zeros(n, kernel.dtype), None, length=self.steps)
        u = -jax.nn.logsumexp(kernel + v, axis=1)
        plan = kernel + u[:, None] + v  # its logarithm, which sorts the same
        dispatch = _ranked(plan.T, cap).T
        return Dispatch(dispatch, dispatch, jnp.where(dispatch, similarity, 0.0))


@final
class AssignmentRouter(AbstractRouter):
    """Every token to one expert, loads as equal as can be, total similarity maximal.

    The linear assignment is solved by SciPy on the host, once a group.
    """

    weight: Float[Array, "n d"]
    capacity_factor: float = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        num_experts: int,
        capacity_factor: float = 1.05,
        *,
        key: PRNGKeyArray,
    ):
        self.capacity_factor = capacity_factor
        check_router(self, in_size, num_experts)
        self.weight = linear_map(in_size, num_experts, key)

    def route(self, logits: Float[Array, "m n"], cap: int) -> Dispatch:
        m, n = logits.shape
        similarity = jax.nn.softmax(logits, axis=-1)
        slots = min(math.ceil(m / n), cap)

        def assign(scores: Any) -> np.ndarray:
            rows, places = linear_sum_assignment(
                np.repeat(np.asarray(scores), slots, axis=1), maximize=True
            )
            mask = np.zeros((m, n), dtype=bool)
            mask[rows, places // slots] = True
            return mask

        shape = jax.ShapeDtypeStruct((m, n), bool)
        fixed = jax.lax.stop_gradient(similarity)
        dispatch = jax.pure_callback(assign, shape, fixed, vmap_method="sequential")
        return Dispatch(dispatch, dispatch, jnp.where(dispatch, similarity, 0.0))
