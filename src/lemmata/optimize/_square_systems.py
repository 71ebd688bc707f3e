"""Small systems of equations: as many constraints as variables, and f = 0.

Source: the CUTEst collection (Gould, Orban and Toint, 2015).
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ._hock_schittkowski_formulas import Formula


def _zero(x: Any) -> Any:
    return 0.0 * x[0]


def _helix_constraint(x: Any) -> tuple[Any, ...]:
    turn = jnp.arctan(x[1] / x[0]) / (2 * np.pi) + jnp.where(x[0] < 0, 0.5, 0.0)
    radius = jnp.sqrt(x[0] ** 2 + x[1] ** 2)
    return 10 * (x[2] - 10 * turn), 10 * (radius - 1), x[2]


SYSTEMS: dict[str, Formula] = {
    "BOOTH": Formula(
        _zero, lambda x: (x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5), (0.0, 0.0)
    ),
    "CUBENE": Formula(
        _zero, lambda x: (x[0] - 1, 10 * (x[1] - x[0] ** 3)), (-1.2, 1.0)
    ),
    "DENSCHNCNE": Formula(
        _zero,
        lambda x: (
            x[0] ** 2 + x[1] ** 2 - 2,
            jnp.exp(x[0] - 1) + x[1] ** 3 - 2,
        ),
        (2.0, 3.0),
    ),
    "DENSCHNFNE": Formula(
        _zero,
        lambda x: (
            2 * (x[0] + x[1]) ** 2 + (x[0] - x[1]) ** 2 - 8,
            5 * x[0] ** 2 + (x[1] - 3) ** 2 - 9,
        ),
        (2.0, 0.0),
    ),
    "GOTTFR": Formula(
        _zero,
        lambda x: (
            x[0] - 0.1136 * (x[0] + 3 * x[1]) * (1 - x[0]),
            x[1] + 7.5 * (2 * x[0] - x[1]) * (1 - x[1]),
        ),
        (0.5, 0.5),
    ),
    "HELIXNE": Formula(_zero, _helix_constraint, (-1.0, 0.0, 0.0)),
    "HIMMELBC": Formula(
        _zero, lambda x: (x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7), (1.0, 1.0)
    ),
    "HIMMELBE": Formula(
        _zero,
        lambda x: (0.25 * (x[0] + x[1]) ** 2 - x[2], 1 - x[0], 1 - x[1]),
        (-1.2, 2.0, 0.0),
    ),
    "ZANGWIL3": Formula(
        _zero,
        lambda x: (x[0] - x[1] + x[2], -x[0] + x[1] + x[2], x[0] + x[1] - x[2]),
        (100.0, -1.0, 2.5),
    ),
}
