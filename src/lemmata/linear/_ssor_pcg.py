"""Which iteration a stream's systems are solved by."""

from typing import Any, final

import equinox as eqx

from ..core import InvalidMethod
from ._relaxed_solve import Kernel, eisenstat_cg, sor, ssor, ssor_cg
from ._stationary import SOR, SSOR


@final
class SSORPCG(eqx.Module):
    """Conjugate gradients preconditioned by SSOR, for use on streams.

    **Options:** `eisenstat`: two triangular solves and half a product a step, instead
    of two and a whole one; the same iterates up to rounding.

    For one system of its own: `ConjugateGradients(SymmetricSOR(relaxation))`.
    """

    eisenstat: bool = False


def kernel_of(solver: Any) -> Kernel:
    """The compiled iteration of a solver; its own relaxation is not looked at.

    **Raises:** `InvalidMethod` for anything but SOR, SSOR and SSORPCG.
    """
    if isinstance(solver, SOR):
        return sor
    if isinstance(solver, SSOR):
        return ssor
    if isinstance(solver, SSORPCG):
        return eisenstat_cg if solver.eisenstat else ssor_cg
    expected, got = "SOR(), SSOR() or SSORPCG()", type(solver).__name__
    raise InvalidMethod("LearnedRelaxation.solver", expected, got)


def solver_citations(solver: Any) -> tuple[str, ...]:
    """Keys in `references.bib`."""
    if isinstance(solver, SSORPCG):
        return ("axelsson1994iterative",) + ("eisenstat1981",) * solver.eisenstat
    return ("young1971iterative",)
