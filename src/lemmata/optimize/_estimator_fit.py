"""What the scikit-learn estimators share."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning

from ..core import Solution, solve


def solved(problem: Any, method: Any, max_steps: int) -> Solution:
    """The solution, with scikit-learn's own warning where it is not certified."""
    solution = solve(problem, method, max_steps=max_steps, throw=False)
    if solution.result.name != "converged" or not solution.certified:
        message = f"{solution.result}\n{solution.certificate}"
        warnings.warn(message, ConvergenceWarning, stacklevel=3)
    return solution


def with_ones(design: Any) -> Any:
    """[A 1]: a column for the intercept."""
    ones = np.ones((design.shape[0], 1))
    if scipy.sparse.issparse(design):
        return scipy.sparse.csr_array(scipy.sparse.hstack([design, ones]))
    return np.hstack([design, ones])


def check_real(name: str, value: Any, least: float, *, above: bool = False) -> None:
    """Raises `ValueError` unless `value` is a number >= least (> with `above`)."""
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not (value > least if above else value >= least):
        sign = ">" if above else ">="
        raise ValueError(f"{name}: expected a number {sign} {least}, got {value!r}.")
