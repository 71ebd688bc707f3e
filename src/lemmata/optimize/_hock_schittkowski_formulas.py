"""Closed formulas of small problems with equality constraints.

Sources: Hock and Schittkowski, Test Examples for Nonlinear Programming Codes (1981),
problems HS*; Boggs and Tolle, SIAM J. Numer. Anal. 26 (1989), BT*; Wright (1976),
MWRIGHT.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

ROOT2 = math.sqrt(2.0)


class Formula(NamedTuple):
    """f, c (entry by entry), and the start."""

    objective: Callable[[Any], Any]
    constraint: Callable[[Any], tuple[Any, ...]]
    start: tuple[float, ...]


def _distances(x: Any) -> Any:
    return (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2


def _hs47_constraint(x: Any) -> tuple[Any, ...]:
    return (
        x[0] + x[1] ** 2 + x[2] ** 3 - 3,
        x[1] - x[2] ** 2 + x[3] - 1,
        x[0] * x[4] - 1,
    )


def _hs51_constraint(x: Any) -> tuple[Any, ...]:
    return x[0] + 3 * x[1] - 4, x[2] + x[3] - 2 * x[4], x[1] - x[4]


def _hs52_constraint(x: Any) -> tuple[Any, ...]:
    return x[0] + 3 * x[1], x[2] + x[3] - 2 * x[4], x[1] - x[4]


def _hs56_constraint(x: Any) -> tuple[Any, ...]:
    boxes = tuple(x[k] - 4.2 * jnp.sin(x[3 + k]) ** 2 for k in range(3))
    return *boxes, x[0] + 2 * x[1] + 2 * x[2] - 7.2 * jnp.sin(x[6]) ** 2


def _hs77_constraint(x: Any) -> tuple[Any, ...]:
    first = x[0] ** 2 * x[3] + jnp.sin(x[3] - x[4]) - 2 * ROOT2
    return first, x[1] + x[2] ** 4 * x[3] ** 2 - 8 - ROOT2


def _hs79_constraint(x: Any) -> tuple[Any, ...]:
    return (
        x[0] + x[1] ** 2 + x[2] ** 3 - 2 - 3 * ROOT2,
        x[1] - x[2] ** 2 + x[3] + 2 - 2 * ROOT2,
        x[0] * x[4] - 2,
    )


def _hs100_objective(x: Any) -> Any:
    square = (x[0] - 10) ** 2 + 5 * (x[1] - 12) ** 2 + 3 * (x[3] - 11) ** 2
    higher = x[2] ** 4 + 10 * x[4] ** 6 + 7 * x[5] ** 2 + x[6] ** 4
    return square + higher - 4 * x[5] * x[6] - 10 * x[5] - 8 * x[6]


def _hs100_constraint(x: Any) -> tuple[Any, ...]:
    return (
        2 * x[0] ** 2 + 3 * x[1] ** 4 + x[2] + 4 * x[3] ** 2 + 5 * x[4] - 127,
        -4 * x[0] ** 2
        - x[1] ** 2
        + 3 * x[0] * x[1]
        - 2 * x[2] ** 2
        - 5 * x[5]
        + 11 * x[6],
    )


def _hs111_objective(x: Any) -> Any:
    energy = np.array(
        [-6.089, -17.164, -34.054, -5.914, -24.721]
        + [-14.986, -24.1, -10.708, -26.662, -22.179]
    )
    moles = jnp.exp(x)
    return jnp.sum(moles * (energy + x - jnp.log(jnp.sum(moles))))


def _hs111_constraint(x: Any) -> tuple[Any, ...]:
    e = jnp.exp(x)
    return (
        e[0] + 2 * e[1] + 2 * e[2] + e[5] + e[9] - 2,
        e[3] + 2 * e[4] + e[5] + e[6] - 1,
        e[2] + e[6] + e[7] + 2 * e[8] + e[9] - 1,
    )


def _genhs28_objective(x: Any) -> Any:
    return jnp.sum((x[:-1] + x[1:]) ** 2)


def _genhs28_constraint(x: Any) -> tuple[Any, ...]:
    return (x[:-2] + 2 * x[1:-1] + 3 * x[2:] - 1,)


_A56, _B56 = math.asin(math.sqrt(1 / 4.2)), math.asin(math.sqrt(5 / 7.2))

_HS77 = Formula(
    lambda x: _distances(x) + (x[2] - 1) ** 2 + (x[3] - 1) ** 4 + (x[4] - 1) ** 6,
    _hs77_constraint,
    (2.0,) * 5,
)
_HS79 = Formula(
    lambda x: _distances(x) + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4
    + (x[3] - x[4]) ** 4,
    _hs79_constraint,
    (2.0,) * 5,
)  # fmt: skip
_HS39 = Formula(
    lambda x: -x[0],
    lambda x: (x[1] - x[0] ** 3 - x[2] ** 2, x[0] ** 2 - x[1] - x[3] ** 2),
    (2.0,) * 4,
)

FORMULAS: dict[str, Formula] = {
    "HS6": Formula(
        lambda x: (1 - x[0]) ** 2, lambda x: (10 * (x[1] - x[0] ** 2),), (-1.2, 1.0)
    ),
    "HS7": Formula(
        lambda x: jnp.log(1 + x[0] ** 2) - x[1],
        lambda x: ((1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4,),
        (2.0, 2.0),
    ),
    "HS9": Formula(
        lambda x: jnp.sin(np.pi * x[0] / 12) * jnp.cos(np.pi * x[1] / 16),
        lambda x: (4 * x[0] - 3 * x[1],),
        (0.0, 0.0),
    ),
    "HS26": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 4,
        lambda x: ((1 + x[1] ** 2) * x[0] + x[2] ** 4 - 3,),
        (-2.6, 2.0, 2.0),
    ),
    "HS27": Formula(
        lambda x: 0.01 * (x[0] - 1) ** 2 + (x[1] - x[0] ** 2) ** 2,
        lambda x: (x[0] + x[2] ** 2 + 1,),
        (2.0, 2.0, 2.0),
    ),
    "HS28": Formula(
        lambda x: (x[0] + x[1]) ** 2 + (x[1] + x[2]) ** 2,
        lambda x: (x[0] + 2 * x[1] + 3 * x[2] - 1,),
        (-4.0, 1.0, 1.0),
    ),
    "HS39": _HS39,
    "HS40": Formula(
        lambda x: -x[0] * x[1] * x[2] * x[3],
        lambda x: (
            x[0] ** 3 + x[1] ** 2 - 1,
            x[0] ** 2 * x[3] - x[2],
            x[3] ** 2 - x[1],
        ),
        (0.8,) * 4,
    ),
    "HS42": Formula(
        lambda x: jnp.sum((x - jnp.arange(1.0, 5.0)) ** 2),
        lambda x: (x[0] - 2, x[2] ** 2 + x[3] ** 2 - 2),
        (1.0,) * 4,
    ),
    "HS46": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[2] - 1) ** 2 + (x[3] - 1) ** 4
        + (x[4] - 1) ** 6,
        lambda x: (
            x[0] ** 2 * x[3] + jnp.sin(x[3] - x[4]) - 1,
            x[1] + x[2] ** 4 * x[3] ** 2 - 2,
        ),
        (ROOT2 / 2, 1.75, 0.5, 2.0, 2.0),
    ),
    "HS47": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 3 + (x[2] - x[3]) ** 4
        + (x[3] - x[4]) ** 4,
        _hs47_constraint,
        (2.0, ROOT2, -1.0, 2 - ROOT2, 0.5),
    ),
    "HS48": Formula(
        lambda x: (x[0] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[3] - x[4]) ** 2,
        lambda x: (jnp.sum(x) - 5, x[2] - 2 * (x[3] + x[4]) + 3),
        (3.0, 5.0, -3.0, 2.0, -2.0),
    ),
    "HS49": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[2] - 1) ** 2 + (x[3] - 1) ** 4
        + (x[4] - 1) ** 6,
        lambda x: (x[0] + x[1] + x[2] + 4 * x[3] - 7, x[2] + 5 * x[4] - 6),
        (10.0, 7.0, 2.0, -3.0, 0.8),
    ),
    "HS50": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 2 + (x[2] - x[3]) ** 4
        + (x[3] - x[4]) ** 2,
        lambda x: tuple(x[k] + 2 * x[k + 1] + 3 * x[k + 2] - 6 for k in range(3)),
        (35.0, -31.0, 11.0, 5.0, -5.0),
    ),
    "HS51": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] + x[2] - 2) ** 2 + (x[3] - 1) ** 2
        + (x[4] - 1) ** 2,
        _hs51_constraint,
        (2.5, 0.5, 2.0, -1.0, 0.5),
    ),
    "HS52": Formula(
        lambda x: (4 * x[0] - x[1]) ** 2 + (x[1] + x[2] - 2) ** 2 + (x[3] - 1) ** 2
        + (x[4] - 1) ** 2,
        _hs52_constraint,
        (2.0,) * 5,
    ),
    "HS56": Formula(
        lambda x: -x[0] * x[1] * x[2],
        _hs56_constraint,
        (1.0, 1.0, 1.0, _A56, _A56, _A56, _B56),
    ),
    "HS77": _HS77,
    "HS78": Formula(
        lambda x: x[0] * x[1] * x[2] * x[3] * x[4],
        lambda x: (
            jnp.sum(x**2) - 10,
            x[1] * x[2] - 5 * x[3] * x[4],
            x[0] ** 3 + x[1] ** 3 + 1,
        ),
        (-2.0, 1.5, 2.0, -1.0, -1.0),
    ),
    "HS79": _HS79,
    "HS100LNP": Formula(
        _hs100_objective, _hs100_constraint, (1.0, 2.0, 0.0, 4.0, 0.0, 1.0, 1.0)
    ),
    "HS111LNP": Formula(_hs111_objective, _hs111_constraint, (-2.3,) * 10),
    "BT2": Formula(
        lambda x: (x[0] - 1) ** 2 + (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 4,
        lambda x: (x[0] * (1 + x[1] ** 2) + x[2] ** 4 - 8.2426407,),
        (10.0,) * 3,
    ),
    "BT3": Formula(
        lambda x: (x[0] - x[1]) ** 2 + (x[1] + x[2] - 2) ** 2 + (x[3] - 1) ** 2
        + (x[4] - 1) ** 2,
        _hs52_constraint,
        (20.0,) * 5,
    ),
    "BT5": Formula(
        lambda x: 1000 - x[0] ** 2 - 2 * x[1] ** 2 - x[2] ** 2 - x[0] * x[1]
        - x[0] * x[2],
        lambda x: (jnp.sum(x**2) - 25, 8 * x[0] + 14 * x[1] + 7 * x[2] - 56),
        (2.0,) * 3,
    ),
    "BT9": _HS39,
    "BT10": Formula(
        lambda x: -x[0],
        lambda x: (x[1] - x[0] ** 3, x[0] ** 2 - x[1]),
        (2.0, 2.0),
    ),
    "BT12": Formula(
        lambda x: 0.01 * x[0] ** 2 + x[1] ** 2,
        lambda x: (
            x[0] + x[1] - x[2] ** 2 - 25,
            x[0] ** 2 + x[1] ** 2 - x[3] ** 2 - 25,
            x[0] - x[4] ** 2 - 2,
        ),
        (15.811, 1.5811, 0.0, 15.083, 3.7164),
    ),
    "MWRIGHT": Formula(
        lambda x: x[0] ** 2 + (x[0] - x[1]) ** 2 + (x[1] - x[2]) ** 3
        + (x[2] - x[3]) ** 4 + (x[3] - x[4]) ** 4,
        _hs79_constraint,
        (-1.0, 2.0, 1.0, -2.0, -2.0),
    ),
    "GENHS28": Formula(
        _genhs28_objective, _genhs28_constraint, (-4.0, *(1.0,) * 9)
    ),
    "MARATOS": Formula(
        lambda x: -x[0] + 1e-6 * (x[0] ** 2 + x[1] ** 2 - 1),
        lambda x: (x[0] ** 2 + x[1] ** 2 - 1,),
        (1.1, 0.1),
    ),
    "BYRDSPHR": Formula(
        lambda x: -jnp.sum(x),
        lambda x: (
            jnp.sum(x**2) - 9,
            (x[0] - 1) ** 2 + x[1] ** 2 + x[2] ** 2 - 9,
        ),
        (5.0, 1e-4, -1e-4),
    ),
}  # fmt: skip
