"""Upper bounds in one pass, the paper's and its baselines, and a search from below.

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394); RecurJac: Zhang, Zhang and Hsieh,
AAAI 2019 (arXiv 1810.11783).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float64, Int64

from ..core import AbstractMethod, require
from ..numerics.linear_bounds import (
    Relaxation,
    bound_values,
    gradient_rows,
    product_bound,
)
from ._box_question import rows_of
from ._local_lipschitz import LipschitzBounds, LocalLipschitz
from ._point_search import SLACK, Found, PointSearch
from ._slopes import optimised_slopes

ABSOLUTE = 1e-12  # of the sum of absolute values behind a bound: its rounding


class UpperBounds(eqx.Module):
    """Bounds (r,) and Jacobian intervals (r, d), rounding allowed for."""

    norm: Float64[Array, " r"]
    lower: Float64[Array, "r d"]
    upper: Float64[Array, "r d"]
    slopes: dict[str, Array]


class BoundState(eqx.Module):
    """Upper bounds, which no step changes, and points found so far."""

    bounds: UpperBounds
    found: Found
    steps: Int64[Array, ""]


class _OnePass(AbstractMethod):
    """One bound, then `search.steps` steps of the search for a lower bound."""

    def bounds(self, problem: LocalLipschitz, rows: Any) -> UpperBounds:
        """The upper bounds of this method."""
        raise NotImplementedError

    def searching(self) -> PointSearch:
        """The search for lower bounds."""
        raise NotImplementedError

    def validate(self) -> None:
        self.searching().check(self)

    def init(self, problem: LocalLipschitz, key: Any) -> BoundState:
        rows, box = _asked(problem)
        found = self.searching().start(problem.network, box, rows, key)
        start = jnp.asarray(0, dtype=jnp.int64)
        return BoundState(self.bounds(problem, rows), found, start)

    def step(self, problem: LocalLipschitz, state: BoundState) -> BoundState:
        rows, box = _asked(problem)
        found = self.searching().ascend(
            problem.network, box, rows, state.found, state.steps
        )
        return BoundState(state.bounds, found, state.steps + 1)

    def done(self, problem: LocalLipschitz, state: BoundState) -> Any:
        return ~(state.steps < self.searching().steps)

    def finish(self, problem: LocalLipschitz, state: BoundState) -> LipschitzBounds:
        own, found = state.bounds, state.found
        return LipschitzBounds(
            own.norm,
            found.norms * (1 - SLACK),
            own.lower,
            own.upper,
            found.best,
            slopes=own.slopes,
        )

    def observe(self, problem: LocalLipschitz, state: BoundState) -> dict[str, Any]:
        return {
            "lipschitz_upper": jnp.max(state.bounds.norm),
            "lipschitz_lower": jnp.max(state.found.norms),
        }

    def citations(self) -> tuple[str, ...]:
        return ("shi2022efficiently",)


def _asked(problem: LocalLipschitz) -> tuple[Any, tuple[Any, Any]]:
    box = jnp.asarray(problem.lower), jnp.asarray(problem.upper)
    return jnp.asarray(rows_of(problem)), box


def widened(found: Any, slopes: dict[str, Any]) -> UpperBounds:
    """Bounds with room for the judge's rounding."""
    largest = jnp.maximum(jnp.abs(found.lower), jnp.abs(found.upper))
    off = SLACK * jnp.max(largest, axis=1, keepdims=True)
    off = off + ABSOLUTE * found.reach + 1e-290
    reach = jnp.sum(found.reach, axis=1)
    norm = found.norm * (1 + SLACK) + ABSOLUTE * reach + 1e-290
    return UpperBounds(norm, found.lower - off, found.upper + off, slopes)


def propagated(
    problem: Any, rows: Any, relaxation: Relaxation, slope_steps: int = 0
) -> UpperBounds:
    """Bounds by linear propagation over the whole box."""
    network, lower, upper = problem.network, problem.lower, problem.upper
    slopes = {}
    if slope_steps:
        slopes = optimised_slopes(network, lower, upper, slope_steps)
    values = bound_values(network, lower, upper, slopes=slopes)
    found = gradient_rows(network, values, rows, relaxation)
    return widened(found, {f"slopes_{t}_{a}": s for (t, a), s in slopes.items()})


@final
class BoundPropagation(_OnePass):
    """Linear bounds of the network, then of its Jacobian, with exact envelopes.

    **Options:**

    - `optimize_slopes`: improve the lower slopes of relaxed ReLUs by projected Adam.
    - `slope_steps`: steps of it, >= 1.
    - `search`: how points with a long gradient are sought.
    """

    optimize_slopes: bool = eqx.field(static=True, default=False)
    slope_steps: int = eqx.field(static=True, default=20)
    search: PointSearch = PointSearch()

    def validate(self) -> None:
        super().validate()
        good = isinstance(self.slope_steps, int) and self.slope_steps >= 1
        require(self, "slope_steps", good, expected=">= 1", got=self.slope_steps)

    def searching(self) -> PointSearch:
        return self.search

    def bounds(self, problem: LocalLipschitz, rows: Any) -> UpperBounds:
        steps = self.slope_steps if self.optimize_slopes else 0
        return propagated(problem, rows, "envelope", steps)

    def slopes(self, problem: LocalLipschitz) -> dict[str, Any]:
        """Better lower slopes by `slopes_TARGET_NODE`; empty where not asked for."""
        if not self.optimize_slopes:
            return {}
        box = problem.lower, problem.upper
        found = optimised_slopes(problem.network, *box, self.slope_steps)
        return {f"slopes_{t}_{a}": s for (t, a), s in found.items()}

    def points(self, problem: LocalLipschitz, key: Any) -> Found:
        """All of the search for lower bounds."""
        rows, box = _asked(problem)
        network, search = problem.network, self.search
        found = search.start(network, box, rows, key)

        def step(found: Found, i: Any) -> tuple[Found, None]:
            return search.ascend(network, box, rows, found, i), None

        return jax.lax.scan(step, found, jnp.arange(search.steps))[0]


@eqx.filter_jit
def prepared(
    problem: LocalLipschitz, method: BoundPropagation, key: Any
) -> tuple[Found, dict[str, Any]]:
    """Points with a long gradient, and slopes: what a search starts from."""
    return method.points(problem, key), method.slopes(problem)


@final
class RecurJac(_OnePass):
    """The same with constants instead of lines where a gradient may change its sign.

    **Options:**

    - `search`: how points with a long gradient are sought.
    """

    search: PointSearch = PointSearch()

    def searching(self) -> PointSearch:
        return self.search

    def bounds(self, problem: LocalLipschitz, rows: Any) -> UpperBounds:
        return propagated(problem, rows, "constant")

    def citations(self) -> tuple[str, ...]:
        return ("zhang2019recurjac",)


@final
class IntervalJacobian(_OnePass):
    """Interval arithmetic on the Jacobian, over linear bounds of the values.

    **Options:**

    - `search`: how points with a long gradient are sought.
    """

    search: PointSearch = PointSearch()

    def searching(self) -> PointSearch:
        return self.search

    def bounds(self, problem: LocalLipschitz, rows: Any) -> UpperBounds:
        return propagated(problem, rows, "interval")


@final
class GlobalProduct(_OnePass):
    """Product of the layers' l_inf operator norms: true on all of space.

    **Options:**

    - `search`: how points with a long gradient are sought.
    """

    search: PointSearch = PointSearch()

    def searching(self) -> PointSearch:
        return self.search

    def bounds(self, problem: LocalLipschitz, rows: Any) -> UpperBounds:
        norm = jax.vmap(lambda v: product_bound(problem.network, v))(rows)
        norm = norm * (1 + SLACK) + 1e-290
        side = jnp.broadcast_to(norm[:, None], (len(rows), problem.network.inputs))
        return UpperBounds(norm, -side, side, {})
