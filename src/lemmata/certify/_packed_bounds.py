"""The value of multipliers, of one piece of a network or of several."""

from typing import Any

import jax.numpy as jnp

from ._global_lipschitz import GlobalBounds
from ._multipliers import FULL, AbstractConstraints
from ._rows import GAMMA, MULTIPLIER, NU, TAU, WEIGHT


def packed_bounds(
    constraints: AbstractConstraints,
    cuts: tuple[int, ...],
    layouts: list,
    thetas: list,
    upper: Any,
    pair: Any,
    ratio: Any,
) -> GlobalBounds:
    """The value of solved pieces. Traced or not."""
    multipliers, couplings = [], []
    for layout, theta in zip(layouts, thetas, strict=True):
        multipliers.append(theta[layout.indices(MULTIPLIER)])
        if constraints.form == FULL:
            couplings.append(_coupling(layout, theta))
    weights = None
    if layouts[0].tests:
        weights = thetas[0][layouts[0].indices(WEIGHT)]
    coupling = jnp.concatenate(couplings) if couplings else None
    if coupling is not None and not coupling.shape[0]:
        coupling = None
    return GlobalBounds(
        jnp.asarray(upper),
        jnp.asarray(ratio),
        jnp.asarray(constraints.form, dtype=jnp.int64),
        jnp.concatenate(multipliers),
        coupling,
        weights,
        jnp.asarray(cuts, dtype=jnp.int64) if cuts else None,
        pair,
    )


def _coupling(layout: Any, theta: Any) -> Any:
    """(groups, 3), zeros for what does not take part."""
    columns = [theta[layout.indices(kind)] for kind in (GAMMA, NU, TAU)]
    columns = [c if len(c) else jnp.zeros(layout.groups) for c in columns]
    return jnp.stack(columns, axis=1)
