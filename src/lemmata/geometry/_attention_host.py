"""Small least-norm problems on the host: Farkas witnesses, and one constraint less.

Source: Lawson and Hanson, Solving Least Squares Problems (1974), section 23.4: the
least-norm point of {x : G x >= h} from one non-negative least-squares problem.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.optimize

from ._attention_constraints import Constraints

LARGEST = 1500  # constraints: time grows with the cube
_SEPARATE = 1e-7  # residual of the least-squares problem that means "feasible"


class LeastNorm(NamedTuple):
    """W (d, d) and mu (n, T) with W = sum mu A; mu of sum 1 where nothing separates."""

    weights: np.ndarray
    multipliers: np.ndarray
    feasible: bool


def least_norm(constraints: Constraints, active: np.ndarray) -> LeastNorm | None:
    """The Frobenius SVM for some of the constraints; None where they are too many.

    With B the constraints as columns and u >= 0 of least ||B u||^2 + (h'u - 1)^2,
    W = B u / (1 - h'u), and h'u = 1 where there is none.
    """
    places = np.flatnonzero(active.reshape(-1))
    if not 0 < places.size <= LARGEST:
        return None
    found = dual_of_gram(np.asarray(constraints.gram())[np.ix_(places, places)])
    if found is None:
        return None
    multipliers = np.zeros(active.size)
    multipliers[places] = found[0]
    multipliers = multipliers.reshape(active.shape)
    return LeastNorm(constraints.combine(multipliers), multipliers, found[1])


def dual_of_gram(gram: np.ndarray) -> tuple[np.ndarray, bool] | None:
    """(mu, whether all margins can be 1) from the Gram matrix of the constraints.

    Where they cannot, mu sums to 1. None if the least-squares solver gives up.
    """
    scale = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    values, vectors = np.linalg.eigh(gram / np.outer(scale, scale))
    kept = values > 1e-13 * values[-1]
    root = (vectors[:, kept] * np.sqrt(values[kept])).T
    stacked = np.vstack([root, 1 / scale])
    target = np.zeros(len(stacked))
    target[-1] = 1.0
    try:
        found, _ = scipy.optimize.nnls(stacked, target, maxiter=20 * len(gram))
    except RuntimeError:
        return None
    u = found / scale
    room = 1 - float(np.sum(u))
    feasible = room > _SEPARATE
    return u / (room if feasible else max(float(np.sum(u)), 1e-300)), feasible


def farkas(problem: Any) -> np.ndarray | None:
    """Multipliers of sum 1 with sum mu A = 0 but for rounding, or None."""
    constraints = to_host(problem)
    found = least_norm(constraints, np.asarray(constraints.active))
    if found is None or found.feasible:
        return None
    size = np.sum(found.multipliers * constraints.sizes())
    if np.linalg.norm(found.weights) > 1e-10 * size:
        return None
    return found.multipliers


def to_host(problem: Any) -> Constraints:
    """A problem's constraints in NumPy, wherever its arrays are."""
    return Constraints.of(
        np.asarray(problem.tokens),
        np.asarray(problem.queries),
        np.asarray(problem.selected),
        np.asarray(problem.lengths),
    )
