"""Operators of linear systems by problem kind: what the rules of the room ask of them.

A further kind registers how its operator is rebuilt from the packed problem:
`register("linear.some_kind/1", build)` with `build(case) -> Operator`.
"""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..case import Case, Malformed
from ..rigor import TINY, U, gamma
from ..sparse import Product, real

SYSTEM = "linear.spd_system/1"
GRID = "linear.grid_poisson/1"
KINDS = (SYSTEM, GRID)


class Least(NamedTuple):
    """A proven lower bound on the least eigenvalue, and how it was shown.

    `vector` (n,) > 0 and `image`, a lower bound on A `vector`, > 0, where A is known to
    be an M-matrix: then |A^{-1} r| <= t vector for |r| <= t image. Else None.
    """

    value: float
    detail: str
    vector: np.ndarray | None = None
    image: np.ndarray | None = None


class Operator(abc.ABC):
    """A in A x = b, and b. `rhs` has shape (n,), float64, finite."""

    rhs: np.ndarray

    @abc.abstractmethod
    def product(self, x: np.ndarray) -> Product:
        """(y, error), |y - A x| <= error elementwise, for x of shape (n,)."""

    def least(self, case: Case) -> Least:
        """A lower bound on the least eigenvalue; -inf where none is shown."""
        del case
        return Least(-math.inf, "no lower bound on the least eigenvalue is known")


_BUILDERS: dict[str, Callable[[Case], Operator]] = {}


def register(kind: str, build: Callable[[Case], Operator]) -> None:
    """Makes the rules of linear systems apply to problems of this kind."""
    _BUILDERS[kind] = build


def operator_of(case: Case) -> Operator:
    """The case's operator, rebuilt once per certificate. **Raises:** `Malformed`."""
    build = _BUILDERS.get(case.problem.kind)
    if build is None:
        raise Malformed(f"no linear system: {case.problem.kind}")
    return case.shared("linear.operator", lambda: build(case))


def solution_of(case: Case, size: int) -> np.ndarray:
    """x, shape (n,). **Raises:** `Malformed`, also for what else the value holds."""
    x = real(case.value.get("solution"), "solution", 1)
    if x.size != size:
        raise Malformed(f"solution: shape {x.shape}, expected ({size},)")
    unknown = set(case.value) - {"solution", "positive_vector"}
    if unknown:
        raise Malformed(f"unknown parts of the answer: {', '.join(sorted(unknown))}")
    if "positive_vector" in case.value:
        positive(case.value["positive_vector"], size)
    return x


def positive(vector: np.ndarray, size: int) -> np.ndarray:
    """The vector, if it is positive. **Raises:** `Malformed`."""
    v = real(vector, "positive_vector", 1)
    if v.size != size or not np.all(v > 0):
        raise Malformed(f"positive_vector: not {size} positive numbers")
    return v


class Residual(NamedTuple):
    """Upper bounds on |b - A x| elementwise, shape (n,), and on its Euclidean norm."""

    size: np.ndarray
    norm: float


def residual_of(case: Case) -> Residual:
    """Shared by every claim about one answer."""

    def compute() -> Residual:
        operator = operator_of(case)
        x = solution_of(case, operator.rhs.size)
        value, error = operator.product(x)
        found = np.abs(operator.rhs - value)
        # One more rounding for the difference, one for this line.
        size = found + (error * (1 + 4 * U) + 2 * U * found + TINY)
        return Residual(size, norm_upper(size))

    return case.shared("linear.residual", compute)


def norm_upper(size: np.ndarray) -> float:
    """Upper bound on the Euclidean norm; inf or NaN where an entry is not finite."""
    return _norm(size, 1.0)


def norm_lower(size: np.ndarray) -> float:
    """Lower bound on the Euclidean norm."""
    return max(_norm(size, -1.0), 0.0)


def _norm(size: np.ndarray, side: float) -> float:
    """Scaled by a power of two, so that squares neither overflow nor vanish."""
    top = float(np.max(np.abs(size), initial=0.0))
    if top == 0 or not math.isfinite(top):
        return top
    exponent = math.frexp(top)[1]
    scaled = np.ldexp(size, -exponent)
    total = float(scaled @ scaled)
    # Sums in any order; what underflows in scaling or squaring is below TINY each.
    total += side * (total * gamma(size.size + 4) + 4 * size.size * TINY)
    root = math.sqrt(max(total, 0.0)) * (1 + side * 4 * U)
    return math.nextafter(math.ldexp(root, exponent), side * math.inf)
