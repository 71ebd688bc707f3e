"""What a residual is measured against: three customs that give different counts."""

import abc
from typing import ClassVar, final

import equinox as eqx
from jax import Array

from ..core import InvalidArgument


class AbstractCriterion(eqx.Module):
    """A system is solved once `||b - A x|| <= rtol * reference`, Euclidean norms.

    Small abstract: each names itself in the packed form.
    """

    name: ClassVar[str] = ""

    @abc.abstractmethod
    def reference(self, rhs: Array, initial: Array) -> Array:
        """From the norms of b and of b - A x_0, where the iteration starts."""


@final
class InitialResidual(AbstractCriterion):
    """Relative to `||b - A x_0||`: Khodak et al. for SOR."""

    name: ClassVar[str] = "initial"

    def reference(self, rhs: Array, initial: Array) -> Array:
        del rhs
        return initial


@final
class RightHandSide(AbstractCriterion):
    """Relative to `||b||`: MATLAB's pcg, and most users."""

    name: ClassVar[str] = "rhs"

    def reference(self, rhs: Array, initial: Array) -> Array:
        del initial
        return rhs


@final
class Absolute(AbstractCriterion):
    """`||b - A x|| <= rtol`, in the units of b: the semi-stochastic theory for SSOR."""

    name: ClassVar[str] = "absolute"

    def reference(self, rhs: Array, initial: Array) -> Array:
        del initial
        return rhs * 0.0 + 1.0


INITIAL, RHS = InitialResidual(), RightHandSide()  # defaults
_KNOWN = {kind.name: kind for kind in (InitialResidual, RightHandSide, Absolute)}


def criterion_named(name: AbstractCriterion | str) -> AbstractCriterion:
    """The criterion of a packed name; a criterion passes through."""
    if isinstance(name, AbstractCriterion):
        return name
    if name not in _KNOWN:
        raise InvalidArgument("criterion", " or ".join(map(repr, _KNOWN)), repr(name))
    return _KNOWN[name]()
