"""Small test problems with equality constraints, by their names in the collections."""

import difflib
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core import InvalidArgument
from ._constrained import EqualityConstrained
from ._hock_schittkowski_formulas import FORMULAS as CONSTRAINED, Formula
from ._square_systems import SYSTEMS

FORMULAS: dict[str, Formula] = {**CONSTRAINED, **SYSTEMS}


def hock_schittkowski(
    name: str, *, kkt_tol: float = 1e-6, gap_tol: float = 1e-8
) -> EqualityConstrained:
    """A small test problem by its name in the collections, such as `"HS7"`.

    **Arguments:**

    - `name`: one of `hock_schittkowski_names()`.
    - `kkt_tol`, `gap_tol`: as of `EqualityConstrained`.

    **Raises:** `InvalidArgument` for an unknown name, with the nearest.
    """
    found = FORMULAS.get(name.upper()) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(str(name).upper(), FORMULAS, n=3) or FORMULAS
        expected = f"a problem that is here, such as {', '.join(list(near)[:3])}"
        raise InvalidArgument("hock_schittkowski.name", expected, name)
    start = np.array(found.start)
    return EqualityConstrained(
        found.objective, _Stacked(found), start, kkt_tol=kkt_tol, gap_tol=gap_tol
    )


def hock_schittkowski_names() -> tuple[str, ...]:
    """The problems that `hock_schittkowski` has."""
    return tuple(FORMULAS)


class _Stacked:
    """The constraints of a formula as one vector."""

    def __init__(self, formula: Formula):
        self.formula = formula

    def __call__(self, x: Any) -> Any:
        entries = self.formula.constraint(x)
        return entries[0] if entries[0].ndim else jnp.stack(entries)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Stacked) and other.formula is self.formula

    def __hash__(self) -> int:
        return hash(self.formula.constraint)
