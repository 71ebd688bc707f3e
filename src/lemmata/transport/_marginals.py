"""What transport problems check about costs, weights and regularisation."""

from typing import Any

import equinox as eqx
import numpy as np
from jax import Array

from ..core import AnyArray, InvalidProblem, require
from ._cost import AbstractCost, MatrixCost, PointCost
from ._passes import host_extremes

_BALANCE = 1e-9  # largest relative difference of the two sums
_LARGEST_EXPONENT = 1e8  # of eta * range(C)
_LARGEST = 1e150  # of any entry: the checker squares them


def validate_cost(
    problem: eqx.Module, cost: AbstractCost, *, allow_inf: bool = False
) -> None:
    """Real, two-dimensional, not empty, finite; with `allow_inf`, +inf forbids a pair.

    **Raises:** `InvalidProblem` for the field `cost` (`cost.source_points` and so on).
    """
    if isinstance(cost, PointCost):
        return _validate_points(problem, cost)
    assert isinstance(cost, MatrixCost)
    values = cost.values
    _require_real(problem, "cost", values)
    shape = np.shape(values)
    good = len(shape) == 2 and min(shape) > 0
    require(problem, "cost", good, expected="shape (n, m), n, m > 0", got=shape)
    _require_finite(problem, "cost", values, allow_inf)
    if allow_inf:
        _require_allowed_pairs(problem, np.asarray(values))
    return None


def _validate_points(problem: eqx.Module, cost: PointCost) -> None:
    for name in ("source_points", "target_points"):
        points, field = getattr(cost, name), f"cost.{name}"
        _require_real(problem, field, points)
        shape = np.shape(points)
        good = len(shape) == 2 and min(shape) > 0
        require(problem, field, good, expected="shape (points, d)", got=shape)
        _require_finite(problem, field, points, False)
    d = cost.source_points.shape[1]
    got = cost.target_points.shape
    expected = f"shape (m, {d}) as the source points"
    require(problem, "cost.target_points", got[1] == d, expected=expected, got=got)
    good = np.isfinite(cost.scale) and cost.scale > 0
    require(problem, "cost.scale", good, expected="finite, > 0", got=cost.scale)
    good = np.isfinite(cost.spread_bound())
    got = f"a spread of {cost.spread_bound()}"
    require(problem, "cost", good, expected="costs in range of float64", got=got)


def _require_real(problem: eqx.Module, field: str, values: Any) -> None:
    kind = getattr(values, "dtype", type(values).__name__)
    good = isinstance(values, np.ndarray | Array) and values.dtype == np.float64
    require(problem, field, good, expected="an array of real numbers", got=kind)


def _require_finite(problem: Any, field: str, values: Any, allow_inf: bool) -> None:
    good = np.abs(values) <= _LARGEST
    if allow_inf:
        good = good | np.isposinf(values)
    bad = np.size(values) - int(np.sum(good))
    where = f", the first at {tuple(np.argwhere(~good)[0].tolist())}" if bad else ""
    expected = f"finite entries (to {_LARGEST:g})" + (" or +inf" if allow_inf else "")
    require(
        problem, field, bad == 0, expected=expected, got=f"{bad} that are not{where}"
    )


def _require_allowed_pairs(problem: Any, cost: np.ndarray) -> None:
    for axis, name in ((1, "row"), (0, "column")):
        forbidden = np.flatnonzero(~np.any(np.isfinite(cost), axis=axis))
        require(
            problem,
            "cost",
            forbidden.size == 0,
            expected=f"a finite entry in every {name}",
            got=f"none in {name} {forbidden[:1].tolist()}",
        )


def validate_weights(
    problem: eqx.Module,
    field: str,
    weights: Any,
    size: int,
    *,
    allow_zero: bool = True,
) -> None:
    """Real, shape (size,), finite, not negative, not all zero.

    **Raises:** `InvalidProblem` for `field`.
    """
    _require_real(problem, field, weights)
    shape = np.shape(weights)
    require(problem, field, shape == (size,), expected=f"shape ({size},)", got=shape)
    _require_finite(problem, field, weights, False)
    wrong = np.flatnonzero(weights < 0 if allow_zero else weights <= 0)
    expected = "weights >= 0" if allow_zero else "weights > 0"
    first = f"{wrong.size} that are not, the first at {wrong[:1].tolist()}"
    require(problem, field, wrong.size == 0, expected=expected, got=first)
    require(problem, field, np.any(weights), expected="a positive sum", got="zeros")
    total = float(np.sum(weights))
    least = float(np.min(weights, initial=np.inf, where=weights > 0)) / total
    expected = "positive weights of at least 1e-290 of the sum"
    require(problem, field, least > 1e-290, expected=expected, got=least)


def validate_balance(problem: eqx.Module, source: Any, target: Any) -> None:
    """The sums agree to a relative 1e-9 (what is left is divided out exactly).

    **Raises:** `InvalidProblem` that states both sums.
    """
    left, right = float(np.sum(source)), float(np.sum(target))
    good = abs(left - right) <= _BALANCE * max(left, right)
    expected = f"sum(target) = sum(source) = {left!r} to a relative {_BALANCE}"
    require(problem, "target", good, expected=expected, got=f"sum {right!r}")


def validate_epsilon(problem: eqx.Module, epsilon: Any, cost: AbstractCost) -> None:
    """Finite, positive, and large enough for exponents that float64 resolves.

    **Raises:** `InvalidProblem` that states the smallest epsilon and largest eta.
    """
    require_positive(problem, "epsilon", epsilon)
    if cost.spread_bound() <= _LARGEST_EXPONENT * epsilon:
        return
    low, high = host_extremes(cost)
    spread = high - low
    if spread > _LARGEST_EXPONENT * float(epsilon):
        raise InvalidProblem(
            f"{type(problem).__name__}.epsilon",
            f"eta = 1/epsilon at most {_LARGEST_EXPONENT / spread:.6g} (epsilon >= "
            f"{spread / _LARGEST_EXPONENT:.6g}) for costs of range {spread:.6g}",
            f"epsilon = {float(epsilon):.6g}",
        )


def validate_tolerances(problem: Any) -> None:
    """`gap_tol` finite and > 0; `marginal_tol` None or finite and > 0."""
    require_positive(problem, "gap_tol", problem.gap_tol)
    if problem.marginal_tol is not None:
        require_positive(problem, "marginal_tol", problem.marginal_tol)


def require_positive(problem: eqx.Module, field: str, value: Any) -> None:
    """A finite real number > 0. **Raises:** `InvalidProblem` for `field`."""
    kind = np.asarray(value).dtype.kind
    good = kind in "fiu" and np.ndim(value) == 0 and np.isfinite(value) and value > 0
    require(problem, field, good, expected="finite, > 0", got=value)


def smallest_marginal_tol(n: int, m: int) -> float:
    """What `marginals` promises by default: max(1e-12, 8 (n + m) u), L1 mass."""
    return max(1e-12, 8 * (n + m) * 2.0**-53)


def entropy(weights: AnyArray) -> float:
    """Shannon entropy in nats of `weights / sum(weights)`."""
    p = np.asarray(weights, dtype=np.float64)
    p = p[p > 0] / np.sum(p)
    return float(-np.sum(p * np.log(p)))
