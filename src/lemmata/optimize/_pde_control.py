"""Control of an elliptic equation on a square, discretised: a quadratic program.

Source: the third experiment of Hong, Na, Mahoney and Kolar, ICML 2023.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ._constrained import EqualityConstrained

LARGEST = 60  # points a side: 7200 unknowns, the judge's Jacobians with them


def PDEControl(
    n: int,
    *,
    target: Any = None,
    weight: float = 0.1,
    kkt_tol: float = 1e-6,
    gap_tol: float = 1e-8,
) -> EqualityConstrained:
    """Least (|W - target|^2 + weight |Z|^2) / 2 subject to Laplace W + Z = 0.

    The state W and the control Z live on n x n inner points of a square of side 2,
    h = 2 / (n + 1); W is zero on the boundary. Unknown x = (W, Z), both row by row,
    2 n^2 entries; n^2 constraints.

    **Arguments:**

    - `n`: points a side, 1 to 60.
    - `target`: wanted state, shape (n, n); None: sin(4 + 0.1 (i - (n+1)/2) / sqrt 15)
      + cos(3 + 0.1 (j - (n+1)/2) / sqrt 15), as in the source.
    - `weight`: price of the control, > 0.
    - `kkt_tol`, `gap_tol`: as of `EqualityConstrained`.

    **Raises:** `InvalidArgument`, `InvalidProblem`.
    """
    _check(n, weight)
    n = int(n)
    wanted = _wanted(n) if target is None else np.asarray(target, dtype=np.float64)
    if wanted.shape != (n, n):
        raise InvalidArgument("PDEControl.target", f"shape ({n}, {n})", wanted.shape)
    data = {"target": wanted, "weight": np.asarray(float(weight))}
    ones = np.ones(2 * n * n), np.ones(n * n)
    return EqualityConstrained(
        _cost, _equation, *ones, data=data, kkt_tol=kkt_tol, gap_tol=gap_tol
    )


def _check(n: Any, weight: Any) -> None:
    if (
        isinstance(n, bool)
        or not isinstance(n, int | np.integer)
        or not 1 <= n <= LARGEST
    ):
        raise InvalidArgument("PDEControl.n", f"an integer from 1 to {LARGEST}", n)
    number = isinstance(weight, int | float) and not isinstance(weight, bool)
    if not (number and np.isfinite(weight) and weight > 0):
        raise InvalidArgument("PDEControl.weight", "a finite number > 0", weight)


def _wanted(n: int) -> np.ndarray:
    along = 0.1 * (np.arange(1, n + 1) - (n + 1) / 2) / np.sqrt(15)
    return np.sin(4 + along)[:, None] + np.cos(3 + along)


def _halves(x: Any, data: Mapping[str, Any]) -> tuple[Any, Any]:
    n = data["target"].shape[0]
    return x[: n * n].reshape(n, n), x[n * n :].reshape(n, n)


def _cost(x: Any, data: Mapping[str, Any]) -> Any:
    state, control = _halves(x, data)
    missed = jnp.sum((state - data["target"]) ** 2)
    return 0.5 * (missed + data["weight"] * jnp.sum(control**2))


def _equation(x: Any, data: Mapping[str, Any]) -> Any:
    state, control = _halves(x, data)
    n = state.shape[0]
    wide = jnp.pad(state, 1)
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    inverse = (n + 1) ** 2 / 4  # 1 / h^2, exact in binary
    return (inverse * (around - 4 * state) + control).reshape(-1)
