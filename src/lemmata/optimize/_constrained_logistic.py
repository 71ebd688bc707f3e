"""Logistic regression with affine constraints on the unit sphere.

Source: the second experiment of Hong, Na, Mahoney and Kolar, ICML 2023.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ._constrained import EqualityConstrained


def ConstrainedLogistic(
    features: Any,
    labels: Any,
    *,
    rows: int = 10,
    key: int = 0,
    matrix: Any = None,
    rhs: Any = None,
    kkt_tol: float = 1e-6,
    gap_tol: float = 1e-8,
) -> EqualityConstrained:
    """Least mean_i log(1 + exp(-y_i z_i^T x)) subject to A x = b, |x|^2 = 1.

    **Arguments:**

    - `features`: z, shape (k, d), finite; dense or SciPy sparse (made dense).
    - `labels`: y, shape (k,), each 1 or -1.
    - `rows`: number of random affine constraints, 1 to d - 2: A is standard normal,
      b = A u with u uniform on the sphere, so that the problem is feasible and each
      b_i is standard normal, as in the source.
    - `key`: seed of A and u.
    - `matrix`, `rhs`: A and b instead of random ones, shapes (r, d) and (r,).
    - `kkt_tol`, `gap_tol`: as of `EqualityConstrained`.

    **Raises:** `InvalidArgument`, `InvalidProblem`.
    """
    design = _design(features)
    target = _labels(labels, len(design))
    matrix, rhs = _affine(matrix, rhs, design.shape[1], rows, key)
    data = {"features": design, "labels": target, "matrix": matrix, "rhs": rhs}
    starts = np.ones(design.shape[1]), np.ones(len(rhs) + 1)
    return EqualityConstrained(
        _loss, _constraint, *starts, data=data, kkt_tol=kkt_tol, gap_tol=gap_tol
    )


def _design(features: Any) -> np.ndarray:
    dense = features.toarray() if hasattr(features, "toarray") else features
    try:
        design = np.asarray(dense, dtype=np.float64)
    except (TypeError, ValueError) as error:
        got = type(features).__name__
        expected = "an array of real numbers"
        raise InvalidArgument("ConstrainedLogistic.features", expected, got) from error
    if design.ndim != 2 or min(design.shape) < 1 or design.shape[1] < 3:
        expected = "shape (k, d), k > 0, d > 2"
        raise InvalidArgument("ConstrainedLogistic.features", expected, design.shape)
    if not np.all(np.isfinite(design)):
        got = f"{int(np.sum(~np.isfinite(design)))} not finite"
        raise InvalidArgument("ConstrainedLogistic.features", "finite entries", got)
    return design


def _labels(labels: Any, count: int) -> np.ndarray:
    target = np.asarray(labels)
    fits = target.shape == (count,) and target.dtype.kind in "biuf"
    if not (fits and np.all(np.abs(target.astype(np.float64)) == 1)):
        got = target.shape if not fits else "other values"
        expected = f"{count} labels, each 1 or -1"
        raise InvalidArgument("ConstrainedLogistic.labels", expected, got)
    return target


def _affine(
    matrix: Any, rhs: Any, d: int, rows: int, key: int
) -> tuple[np.ndarray, np.ndarray]:
    if (matrix is None) != (rhs is None):
        expected = "matrix and rhs both, or neither"
        raise InvalidArgument("ConstrainedLogistic.matrix", expected, "one of them")
    if matrix is None:
        matrix, rhs = _random_constraints(d, rows, key)
    matrix, rhs = np.asarray(matrix, np.float64), np.asarray(rhs, np.float64)
    fits = matrix.ndim == 2 and matrix.shape[1] == d and rhs.shape == matrix.shape[:1]
    if not (fits and np.all(np.isfinite(matrix)) and np.all(np.isfinite(rhs))):
        got = f"{matrix.shape} and {rhs.shape}"
        expected = f"finite A, shape (r, {d}), and b, shape (r,)"
        raise InvalidArgument("ConstrainedLogistic.matrix", expected, got)
    return matrix, rhs


def _random_constraints(d: int, rows: int, key: int) -> tuple[np.ndarray, np.ndarray]:
    whole = isinstance(rows, int | np.integer) and not isinstance(rows, bool)
    if not (whole and 1 <= rows <= d - 2):
        expected = f"an integer from 1 to d - 2 = {d - 2}"
        raise InvalidArgument("ConstrainedLogistic.rows", expected, rows)
    rng = np.random.default_rng(key)
    matrix, direction = rng.normal(size=(rows, d)), rng.normal(size=d)
    return matrix, matrix @ (direction / np.linalg.norm(direction))


def _loss(x: Any, data: Mapping[str, Any]) -> Any:
    margins = data["labels"] * (data["features"] @ x)
    return jnp.mean(jax.nn.softplus(-margins))


def _constraint(x: Any, data: Mapping[str, Any]) -> Any:
    affine = data["matrix"] @ x - data["rhs"]
    return jnp.concatenate([affine, jnp.sum(x**2)[None] - 1])
