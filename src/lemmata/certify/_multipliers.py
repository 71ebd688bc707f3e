"""Which quadratic constraints of an activation take part in the inequality.

Source: Pauli, Havens, Araujo, Garg, Khorrami, Allgoewer and Hu, ICLR 2024 (arXiv
2401.14033). The eliminated form is ours: coordinates that an activation preserves are
substituted instead of multiplied, which by Finsler's lemma is the best over all
multipliers of the preserved part.
"""

from typing import ClassVar, final

import equinox as eqx

ELIMINATED, FULL, COMPOSITE, PRODUCT, PATTERNS = range(5)
"""How a bound is shown, as the judge's rules number it."""


class AbstractConstraints(eqx.Module):
    """What is said of each group of a GroupSort or Householder activation.

    Activations that work entry by entry are slope-restricted, with one multiplier each,
    in every case.
    """

    form: ClassVar[int]
    coupling: ClassVar[tuple[bool, bool, bool]] = (False, False, False)
    """Whether gamma, nu, tau of the preserved part take part."""


@final
class Eliminated(AbstractConstraints):
    """Preserved coordinates are substituted; one multiplier per group remains."""

    form: ClassVar[int] = ELIMINATED


@final
class Reduced(AbstractConstraints):
    """The paper's S = P = 0: multipliers lambda and gamma per group."""

    form: ClassVar[int] = FULL
    coupling: ClassVar[tuple[bool, bool, bool]] = (True, False, False)


@final
class AllMultipliers(AbstractConstraints):
    """The paper's lambda, gamma, nu and tau per group, with nu = 0.

    Adding (2 t, -t, t) to (gamma, nu, tau) changes nothing, so one is redundant.
    """

    form: ClassVar[int] = FULL
    coupling: ClassVar[tuple[bool, bool, bool]] = (True, False, True)


@final
class DiagonalOnly(AbstractConstraints):
    """Lambda alone: all that is used is that a group is 1-Lipschitz."""

    form: ClassVar[int] = FULL


@final
class CompositeReLU(AbstractConstraints):
    """MaxMin written with ReLUs, which are slope-restricted: the paper's LipSDP-RR."""

    form: ClassVar[int] = COMPOSITE
