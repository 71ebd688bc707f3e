"""Small constrained problems in closed form, with what is known of their solutions."""

from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from lemmata.optimize._constrained import EqualityConstrained


class Known(NamedTuple):
    """f, c, start, and the known optimal value (Hock and Schittkowski, 1981)."""

    objective: object
    constraint: object
    start: list[float]
    optimum: float


ROOT = 2**0.5
HS = {
    "HS6": Known(
        lambda x: (1 - x[0]) ** 2,
        lambda x: jnp.stack([10 * (x[1] - x[0] ** 2)]),
        [-1.2, 1],
        0.0,
    ),
    "HS7": Known(
        lambda x: jnp.log(1 + x[0] ** 2) - x[1],
        lambda x: jnp.stack([(1 + x[0] ** 2) ** 2 + x[1] ** 2 - 4]),
        [2, 2],
        -(3**0.5),
    ),
    "HS28": Known(
        lambda x: (x[0] + x[1]) ** 2 + (x[1] + x[2]) ** 2,
        lambda x: jnp.stack([x[0] + 2 * x[1] + 3 * x[2] - 1]),
        [-4, 1, 1],
        0.0,
    ),
    "HS40": Known(
        lambda x: -x[0] * x[1] * x[2] * x[3],
        lambda x: jnp.stack(
            [
                x[0] ** 3 + x[1] ** 2 - 1,
                x[0] ** 2 * x[3] - x[2],
                x[3] ** 2 - x[1],
            ]
        ),
        [0.8] * 4,
        -0.25,
    ),
    "HS42": Known(
        lambda x: jnp.sum((x - jnp.arange(1.0, 5.0)) ** 2),
        lambda x: jnp.stack([x[0] - 2, x[2] ** 2 + x[3] ** 2 - 2]),
        [1] * 4,
        28 - 10 * ROOT,
    ),
    "HS48": Known(
        lambda x: (x[0] - 1) ** 2 + (x[1] - x[2]) ** 2 + (x[3] - x[4]) ** 2,
        lambda x: jnp.stack([jnp.sum(x) - 5, x[2] - 2 * (x[3] + x[4]) + 3]),
        [3, 5, -3, 2, -2],
        0.0,
    ),
    "HS51": Known(
        lambda x: (
            (x[0] - x[1]) ** 2
            + (x[1] + x[2] - 2) ** 2
            + (x[3] - 1) ** 2
            + (x[4] - 1) ** 2
        ),
        lambda x: jnp.stack([x[0] + 3 * x[1] - 4, x[2] + x[3] - 2 * x[4], x[1] - x[4]]),
        [2.5, 0.5, 2, -1, 0.5],
        0.0,
    ),
    "HS52": Known(
        lambda x: (
            (4 * x[0] - x[1]) ** 2
            + (x[1] + x[2] - 2) ** 2
            + (x[3] - 1) ** 2
            + (x[4] - 1) ** 2
        ),
        lambda x: jnp.stack([x[0] + 3 * x[1], x[2] + x[3] - 2 * x[4], x[1] - x[4]]),
        [2] * 5,
        1859 / 349,
    ),
    "HS77": Known(
        lambda x: (
            (x[0] - 1) ** 2
            + (x[0] - x[1]) ** 2
            + (x[2] - 1) ** 2
            + (x[3] - 1) ** 4
            + (x[4] - 1) ** 6
        ),
        lambda x: jnp.stack(
            [
                x[0] ** 2 * x[3] + jnp.sin(x[3] - x[4]) - 2 * ROOT,
                x[1] + x[2] ** 4 * x[3] ** 2 - 8 - ROOT,
            ]
        ),
        [2] * 5,
        0.24150513,
    ),
    "HS78": Known(
        lambda x: x[0] * x[1] * x[2] * x[3] * x[4],
        lambda x: jnp.stack(
            [
                jnp.sum(x**2) - 10,
                x[1] * x[2] - 5 * x[3] * x[4],
                x[0] ** 3 + x[1] ** 3 + 1,
            ]
        ),
        [-2, 1.5, 2, -1, -1],
        -2.91970041,
    ),
    "HS79": Known(
        lambda x: (
            (x[0] - 1) ** 2
            + (x[0] - x[1]) ** 2
            + (x[1] - x[2]) ** 2
            + (x[2] - x[3]) ** 4
            + (x[3] - x[4]) ** 4
        ),
        lambda x: jnp.stack(
            [
                x[0] + x[1] ** 2 + x[2] ** 3 - 2 - 3 * ROOT,
                x[1] - x[2] ** 2 + x[3] + 2 - 2 * ROOT,
                x[0] * x[4] - 2,
            ]
        ),
        [2] * 5,
        0.0787768209,
    ),
}


@cache
def hock(name: str, tol: float = 1e-6) -> EqualityConstrained:
    """The problem; functions are shared, so that it compiles once."""
    known = HS[name]
    return EqualityConstrained(
        known.objective, known.constraint, known.start, kkt_tol=tol
    )


@cache
def control(size: int = 3, tol: float = 1e-6) -> EqualityConstrained:
    """The source's control problem: size^2 states, size^2 controls, start at ones."""
    h = 2 / (size + 1)
    place = (np.arange(1, size + 1) - (size + 1) / 2) / 15**0.5
    wanted = np.sin(4 + 0.1 * place)[:, None] + np.cos(3 + 0.1 * place)
    count = size * size
    path = (np.eye(size, k=1) + np.eye(size, k=-1) - 2 * np.eye(size)) / h**2
    laplacian = np.kron(path, np.eye(size)) + np.kron(np.eye(size), path)

    def objective(x, data):
        off = x[:count] - data["wanted"]
        return 0.5 * (jnp.sum(off**2) + 0.1 * jnp.sum(x[count:] ** 2))

    def constraint(x, data):
        return data["laplacian"] @ x[:count] + x[count:]

    return EqualityConstrained(
        objective,
        constraint,
        np.ones(2 * count),
        np.ones(count),
        data={"wanted": wanted.ravel(), "laplacian": laplacian},
        kkt_tol=tol,
    )


@cache
def logistic(tol: float = 1e-6) -> EqualityConstrained:
    """Twenty points in five dimensions, two affine constraints and the sphere."""
    rng = np.random.default_rng(3)
    points = rng.uniform(-1, 1, size=(20, 5))
    labels = np.sign(points[:, 0] + 0.3 * rng.normal(size=20))
    affine, level = rng.normal(size=(2, 5)), rng.uniform(-0.3, 0.3, size=2)

    def objective(x, data):
        return jnp.mean(jnp.logaddexp(0.0, -(data["signed"] @ x)))

    def constraint(x, data):
        return jnp.concatenate(
            [data["affine"] @ x - data["level"], jnp.stack([jnp.sum(x**2) - 1])]
        )

    data = {"signed": labels[:, None] * points, "affine": affine, "level": level}
    return EqualityConstrained(
        objective, constraint, np.ones(5) / 5**0.5, np.ones(3), data=data, kkt_tol=tol
    )
