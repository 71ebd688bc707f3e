"""Problems of the CUTEst collection as sif2jax has them (extra `cutest`)."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..core import InvalidArgument, LemmataError, float64
from ._constrained import EqualityConstrained


class CutestNotFound(LemmataError, ImportError):
    """The package sif2jax is not installed."""


def from_sif2jax(
    problem: Any, *, kkt_tol: float = 1e-6, gap_tol: float = 1e-8
) -> EqualityConstrained:
    """A CUTEst problem with equality constraints only.

    **Arguments:**

    - `problem`: a problem of sif2jax, or its name, such as `"ORTHREGB"`; importing
      sif2jax builds all its problems and takes most of a minute.
    - `kkt_tol`, `gap_tol`: as of `EqualityConstrained`.

    **Raises:** `InvalidArgument` for an unknown name and for bounds, inequalities or no
    constraints; `CutestNotFound`; `InvalidProblem`, as for functions of one's own.
    """
    found = _named(problem) if isinstance(problem, str) else problem
    for name in ("objective", "constraint", "y0", "args"):
        if not hasattr(found, name):
            expected = "a problem of sif2jax with constraints, or its name"
            raise InvalidArgument(
                "from_sif2jax.problem", expected, type(found).__name__
            )
    if _bounded(found):
        expected = "equality constraints only"
        raise InvalidArgument("from_sif2jax.problem", expected, "bounds on variables")
    with float64():
        start, unflatten = ravel_pytree(found.y0)
        equal, unequal = found.constraint(found.y0)
        x0 = np.asarray(start, dtype=np.float64)
    if unequal is not None or equal is None:
        got = "inequalities" if unequal is not None else "no equalities"
        raise InvalidArgument("from_sif2jax.problem", "equality constraints only", got)
    return EqualityConstrained(
        _Objective(found, unflatten),
        _Constraint(found, unflatten),
        x0,
        kkt_tol=kkt_tol,
        gap_tol=gap_tol,
    )


class _Function:
    """A method of a problem as a function of a flat x; equal for the same problem."""

    def __init__(self, problem: Any, unflatten: Callable[[Any], Any]):
        self.problem, self.unflatten = problem, unflatten

    def __eq__(self, other: object) -> bool:
        return (
            type(other) is type(self) and getattr(other, "problem", 0) is self.problem
        )

    def __hash__(self) -> int:
        return id(self.problem)


class _Objective(_Function):
    def __call__(self, x: Any) -> Any:
        y = self.unflatten(x)
        return jax.numpy.asarray(self.problem.objective(y, self.problem.args), float)


class _Constraint(_Function):
    def __call__(self, x: Any) -> Any:
        return ravel_pytree(self.problem.constraint(self.unflatten(x))[0])[0]


def _bounded(problem: Any) -> bool:
    bounds = getattr(problem, "bounds", None)
    if bounds is None:
        return False
    leaves = [np.asarray(leaf, dtype=np.float64) for leaf in jax.tree.leaves(bounds)]
    return any(bool(np.any(np.abs(leaf) < 1e19)) for leaf in leaves)


def _named(name: str) -> Any:
    try:
        import sif2jax
    except ImportError as error:
        reason = "sif2jax is needed for CUTEst: pip install 'lemmata[cutest]'"
        raise CutestNotFound(reason) from error
    found = [p for p in sif2jax.problems if p.name.upper() == name.upper()]
    if not found:
        expected = "the name of a problem that sif2jax has"
        raise InvalidArgument("from_sif2jax.problem", expected, name)
    return found[0]
