"""Constrained problems on which it is easy to be wrong about having succeeded."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from lemmata.optimize import EqualityConstrained


def cases() -> dict[str, Any]:
    """Contradicting constraints, lost rank, maximisers and saddles, no minimum."""
    stack = jnp.stack
    return {
        "circle and line that do not meet": EqualityConstrained(
            lambda x: x[0],
            lambda x: stack([jnp.sum(x**2) - 1, x[0] + x[1] - 4]),
            np.array([1.0, 0.5]),
        ),
        "parabola above zero": EqualityConstrained(
            lambda x: x[0] + x[1], lambda x: stack([x[0] ** 2 + 1e-3]), np.ones(2)
        ),
        "rank lost at the solution": EqualityConstrained(
            lambda x: x[0] + x[1], lambda x: stack([jnp.sum(x**2)]), np.ones(2)
        ),
        "cusp": EqualityConstrained(
            lambda x: x[0],
            lambda x: stack([x[1] ** 2 - x[0] ** 3]),
            np.array([1.0, 2.0]),
        ),
        "start at a maximiser": EqualityConstrained(
            lambda x: -jnp.sum(x**2), lambda x: stack([jnp.sum(x)]), np.zeros(3)
        ),
        "start at a saddle": EqualityConstrained(
            lambda x: x[0] ** 2 - x[1] ** 2,
            lambda x: stack([x[2] - x[0]]),
            np.zeros(3),
        ),
        "maximiser on the circle": EqualityConstrained(
            lambda x: -(x[0] ** 2) - 2 * x[1] ** 2,
            lambda x: stack([jnp.sum(x**2) - 1]),
            np.array([1.0, 0.0]),
        ),
        "unbounded below": EqualityConstrained(
            lambda x: x[0] ** 3, lambda x: stack([x[1]]), np.array([-1.0, 1.0])
        ),
        "no minimum, infimum at infinity": EqualityConstrained(
            lambda x: jnp.exp(-x[0]), lambda x: stack([x[1]]), np.array([0.0, 1.0])
        ),
        "badly scaled": EqualityConstrained(
            lambda x: 1e8 * (x[0] - 1) ** 2 + 1e-4 * x[1] ** 2,
            lambda x: stack([1e-4 * (x[0] - x[1])]),
            np.array([3.0, -2.0]),
        ),
        "left of the logarithm": EqualityConstrained(
            lambda x: -jnp.log(x[0]) - jnp.log(x[1]),
            lambda x: stack([x[0] + x[1] - 1e-3]),
            np.array([5.0, 1.0]),
        ),
        "flat at the solution": EqualityConstrained(
            lambda x: x[0] ** 4 + x[1] ** 4,
            lambda x: stack([x[0] + x[1]]),
            np.array([1.0, 2.0]),
        ),
    }
