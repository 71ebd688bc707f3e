"""Which neuron to split, and what the two halves are worth: one compiled batch.

Source: Shi et al., NeurIPS 2022 (arXiv 2210.07394), section 4.3 and the authors' code;
BaBSR: Bunel et al., JMLR 2020 (arXiv 1909.06588).
"""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp

from ..core import AnyArray
from ..numerics.linear_bounds import (
    GradientBounds,
    ValueBounds,
    bound_gradient,
    bound_values,
)
from ..numerics.networks import PIECEWISE, Network
from ._bound_methods import widened


class AbstractHeuristic(eqx.Module):
    """Scores neurons; the best `tried` are split for real and the best split kept."""

    tried: eqx.AbstractVar[int]

    @abc.abstractmethod
    def score(self, found: GradientBounds, values: ValueBounds, k: int) -> Any:
        """Non-negative scores of the neurons of activation k."""


@final
class Area(AbstractHeuristic):
    """Area between the two envelopes, times the weight that the bound puts on them.

    **Options:**

    - `tried`: so many best neurons are split for real, >= 1.
    """

    tried: int = eqx.field(static=True, default=1)

    def score(self, found: GradientBounds, values: ValueBounds, k: int) -> Any:
        p, q = found.entering[k]
        area = q * jnp.abs(q) - p * jnp.abs(p)
        return area * jnp.abs(found.weights[k]) + 1.0


@final
class Babsr(AbstractHeuristic):
    """What the intercepts of the envelopes add to the bound.

    **Options:**

    - `tried`: so many best neurons are split for real, >= 1.
    """

    tried: int = eqx.field(static=True, default=1)

    def score(self, found: GradientBounds, values: ValueBounds, k: int) -> Any:
        p, q = found.entering[k]
        intercept = jnp.maximum(-p, 0.0) * jnp.maximum(q, 0.0)
        intercept = intercept / jnp.where(q > p, q - p, 1.0)
        return intercept * jnp.abs(found.weights[k]) + 1e-12


class Domains(NamedTuple):
    """A batch: bound (b,), whether empty (b,), bounds on the inputs of all activations
    (b, m), scores of the piecewise linear neurons (b, n), 0 where a split is of no use,
    bounds on the row of the Jacobian (b, d).
    """

    bound: Any
    empty: Any
    lower: Any
    upper: Any
    scores: Any
    jacobian_lower: Any
    jacobian_upper: Any


def neuron_counts(network: Network) -> tuple[int, int]:
    """Numbers of neurons that can be split, and of all neurons."""
    split = sum(network.nodes[k].size for k in network.positions(PIECEWISE))
    return split, sum(network.nodes[k].size for k in network.positions())


@eqx.filter_jit
def bound_domains(
    network: Network,
    box: tuple[AnyArray, AnyArray],
    slopes: Mapping[tuple[int, int], AnyArray],
    heuristic: AbstractHeuristic,
    rows: AnyArray,
    signs: AnyArray,
    above: tuple[AnyArray, AnyArray],
    fixed: bool = False,
) -> Domains:
    """Bounds of a batch of domains: rows (b, K), signs (b, n), above (b, m) twice.

    **Arguments:** `fixed`: bounds on values are those `above`, but for the signs.
    """

    def one(row, sign, lo, hi):
        places = _split(network, sign, network.positions(PIECEWISE))
        known = zip(
            *(_split(network, side, network.positions()).values() for side in (lo, hi)),
            strict=True,
        )
        limits = dict(zip(network.positions(), known, strict=True))
        values = bound_values(
            network, *box, signs=places, above=limits, slopes=slopes, fixed=fixed
        )
        found = bound_gradient(network, values, row)
        wide = widened(jax.tree.map(lambda a: a[None], found), {})
        bound = jnp.where(values.empty, -jnp.inf, wide.norm[0])
        lower, upper = (
            jnp.concatenate([values.before[k][i].reshape(-1) for k in limits])
            for i in (0, 1)
        )
        scores = _scores(network, heuristic, found, values)
        sides = wide.lower[0], wide.upper[0]
        return Domains(bound, values.empty, lower, upper, scores, *sides)

    return jax.vmap(one)(rows, signs, *above)


def _scores(network: Network, heuristic: Any, found: Any, values: Any) -> Any:
    parts = [jnp.zeros(0)]
    for k in network.positions(PIECEWISE):
        node = network.nodes[k]
        lo, hi = values.before[k]
        sign = values.signs[k]
        open_ = (sign == 0) & ~((lo > 0) | (hi < 0))
        p, q = found.entering[k]
        of_use = open_ & ((p != 0) | (q != 0)) & (node.low_slope < 1)
        weighted = k in found.weights
        score = heuristic.score(found, values, k) if weighted else jnp.ones(node.shape)
        parts.append(jnp.where(of_use, score, 0.0).reshape(-1))
    return jnp.concatenate(parts)


def _split(network: Network, flat: Any, positions: tuple[int, ...]) -> dict[int, Any]:
    """A flat array of neurons by activation."""
    parts, place = {}, 0
    for k in positions:
        node = network.nodes[k]
        parts[k] = flat[place : place + node.size].reshape(node.shape)
        place += node.size
    return parts
