"""Linear systems on which solvers are known to stop too early, or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from lemmata.linear import LinearFunction

LIMIT = 2_000  # iterations that everybody gets
SIZE = 20


@dataclass(frozen=True)
class Case:
    """One system. `operator` is what we are handed; the others apply it as they must.

    - `apply`: x -> A x in NumPy, in the precision of x.
    - `traced`: the same in JAX.
    """

    name: str
    operator: Any
    apply: Callable[[Any], Any]
    traced: Callable[[Any], Any]
    rhs: np.ndarray
    rtol: float = 1e-8
    preconditioner: Callable[[Any], Any] | None = None


def _stored(name: str, matrix: np.ndarray, rhs: Any, **options: Any) -> Case:
    return Case(
        name,
        matrix,
        lambda x: matrix.astype(np.asarray(x).dtype) @ x,
        lambda x: jnp.asarray(matrix) @ x,
        np.asarray(rhs, float),
        **options,
    )


def _spectrum(values: np.ndarray) -> np.ndarray:
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(values.size, values.size)))[
        0
    ]
    matrix = q * values @ q.T
    return (matrix + matrix.T) / 2


def cases() -> list[Case]:
    """About twenty, small, every one a trap of its own."""
    n, rng = SIZE, np.random.default_rng(1)
    ones, noise = np.ones(n), rng.normal(size=n)
    good = _spectrum(np.geomspace(1, 100, n))
    i = np.arange(n)
    hilbert = 1.0 / (i[:, None] + i + 1)
    free = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    free[0, 0] = free[-1, -1] = 1
    indefinite = _spectrum(np.concatenate([[-1.0], np.geomspace(1, 100, n - 1)]))
    saddle = np.eye(n)
    saddle[0, 1] = saddle[1, 0] = 2.0
    skew = good + np.triu(np.full((n, n), 0.5), 1)
    scaled = 2.0 ** rng.integers(-40, 40, n)
    flip = np.where(i % 2 == 0, 1.0, -1.0)
    return [
        _stored("plain", good, noise),
        _stored("zero right-hand side", good, 0 * ones),
        _stored("singular, inconsistent", free, noise),
        _stored("singular, consistent", free, noise - noise.mean()),
        _stored("zero matrix but for one entry", np.diag(np.eye(n)[0]), noise),
        _stored("indefinite", indefinite, noise),
        _stored("indefinite, positive diagonal", saddle, noise),
        _stored("negative definite", -good, noise),
        _stored("not symmetric", skew, noise),
        _stored("skew-symmetric", np.eye(n, k=1) - np.eye(n, k=-1), noise),
        _stored("Hilbert", hilbert, noise),
        _stored("Hilbert, benign right-hand side", hilbert, hilbert @ ones),
        _stored("condition 1e14", _spectrum(np.geomspace(1e-14, 1, n)), noise),
        _stored("badly scaled", good * scaled * scaled[:, None], scaled * noise),
        _stored(
            "badly scaled diagonal", np.diag(10.0 ** rng.uniform(-12, 12, n)), noise
        ),
        _stored("tiny right-hand side", good, 1e-200 * noise),
        _stored("huge right-hand side", good, 1e200 * noise),
        _stored("tiny matrix", 1e-200 * good, noise),
        _stored("huge matrix", 1e200 * good, noise),
        _stored("one huge entry", good, np.where(i == 0, 1e12, noise)),
        _stored("asked for 1e-15", good, noise, rtol=1e-15),
        _stored(
            "preconditioner that is indefinite",
            good,
            noise,
            preconditioner=lambda r: flip * r,
        ),
        _stored(
            "preconditioner that is negative", good, noise, preconditioner=lambda r: -r
        ),
        _stored(
            "preconditioner that is zero", good, noise, preconditioner=lambda r: 0 * r
        ),
        _midway(n),
        _stored("NaN in the right-hand side", good, np.where(i == 3, np.nan, noise)),
        _stored(
            "infinity in the matrix", np.where(good == good.max(), np.inf, good), noise
        ),
    ]


def _midway(n: int) -> Case:
    """An operator that fails on directions of small first component."""
    d = np.arange(1.0, n + 1)

    def apply(x: Any) -> Any:
        return d * x if abs(x[0]) >= 0.05 or not np.any(x) else d * x * np.nan

    def traced(x: Any) -> Any:
        fine = (jnp.abs(x[0]) >= 0.05) | ~jnp.any(x)
        return jnp.where(fine, jnp.asarray(d) * x, jnp.nan)

    operator = LinearFunction(traced, n)
    return Case("NaN midway", operator, apply, traced, np.ones(n))
