"""Baselines for global bounds: the product of norms, and all patterns."""

import math
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int64

from ..core import AbstractMethod, InvalidProblem
from ._global_lipschitz import GlobalBounds, GlobalLipschitz
from ._lipsdp import _found
from ._multipliers import PATTERNS, PRODUCT
from ._shown_bounds import least_bound


class BaselineState(eqx.Module):
    """Whether the bound was computed, the bound, and a pair of inputs."""

    steps: Int64[Array, ""]
    bound: Float[Array, ""]
    pair: Float[Array, "2 d"]
    ratio: Float[Array, ""]


class _OneBound(AbstractMethod):
    """One step, on the host."""

    host = True

    def form(self) -> int:
        """How the judge is told to show the bound."""
        raise NotImplementedError

    def init(self, problem: GlobalLipschitz, key: Any) -> BaselineState:
        pair, ratio = _found(problem, key)
        start = jnp.asarray(0, dtype=jnp.int64)
        return BaselineState(start, jnp.asarray(jnp.finfo(float).max), pair, ratio)

    def step(self, problem: GlobalLipschitz, state: BaselineState) -> BaselineState:
        zero = np.asarray(0.0)
        form = np.asarray(self.form(), dtype=np.int64)
        bound = least_bound(problem, GlobalBounds(zero, zero, form))
        if not math.isfinite(bound):
            raise InvalidProblem("GlobalLipschitz.network", "finite norms", bound)
        made = (jnp.asarray(1, dtype=jnp.int64), jnp.asarray(bound))
        return eqx.tree_at(lambda s: (s.steps, s.bound), state, made)

    def done(self, problem: GlobalLipschitz, state: BaselineState) -> bool:
        return bool(state.steps > 0)

    def finish(self, problem: GlobalLipschitz, state: BaselineState) -> GlobalBounds:
        form = jnp.asarray(self.form(), dtype=jnp.int64)
        return GlobalBounds(state.bound, state.ratio, form, pair=state.pair)

    def observe(self, problem: GlobalLipschitz, state: BaselineState) -> dict[str, Any]:
        return {"lipschitz_upper": float(state.bound)}

    def citations(self) -> tuple[str, ...]:
        return ("pauli2024novel",)


@final
class NormProduct(_OneBound):
    """The product of the layers' norms, summed over branches; 1 for sorted groups."""

    def form(self) -> int:
        return PRODUCT


@final
class BruteForce(_OneBound):
    """The largest norm over all patterns of the activations, for small networks.

    Never below the constant, and above it only by patterns that no input has.
    """

    def form(self) -> int:
        return PATTERNS
