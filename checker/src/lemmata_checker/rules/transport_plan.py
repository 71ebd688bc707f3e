"""What is known of a plan: its marginals and sum P w, enclosed, w = x + y - C.

P is restricted to the atoms of positive weight; what lies outside is `stray`.
"""

from typing import NamedTuple

import numpy as np

from ..case import Case
from ..rigor import TINY
from .transport_cost import Cost, Marginal, array, cost_of, marginal
from .transport_reduced import Reduced


class Plan(NamedTuple):
    """Enclosures of a plan P >= 0 of shape (n, m), w = x + y - C.

    **Fields:**

    - `row`, `row_error`: P 1 and how far off it may be, shape (n,); so `column`.
    - `inner`, `inner_error`: sum_ij P_ij w_ij.
    - `stray`: at least the mass on atoms of zero weight.
    - `reduced`: the extremes of w.
    """

    row: np.ndarray
    row_error: np.ndarray
    column: np.ndarray
    column_error: np.ndarray
    inner: float
    inner_error: float
    stray: float
    reduced: Reduced


class Setting(NamedTuple):
    """Marginals, cost, and the value's potentials on the atoms of positive weight."""

    source: Marginal
    target: Marginal
    cost: Cost
    x: np.ndarray
    y: np.ndarray


def setting(case: Case) -> Setting:
    """Read what every value of an (entropic) transport problem comes with."""
    source, target = marginal(case, "source"), marginal(case, "target")
    x = array(case.value, "row_potential", (source.size,))[source.kept]
    y = array(case.value, "column_potential", (target.size,))[target.kept]
    return Setting(source, target, cost_of(case, source, target), x, y)


def inner_error(inner: float, mass: float, reduced: Reduced, relative: float) -> float:
    """Bound on the error of sum P w, each term relatively off by `relative`.

    sum P|w| = 2 sum P max(0, w) - sum P w <= 2 mass max(0, max w) - sum P w; the factor
    1.1 covers that the computed sums stand for the exact ones.
    """
    size = max(0.0, 2 * mass * max(0.0, reduced.largest) - inner)
    return 1.1 * (relative * size + mass * reduced.slack) + TINY
