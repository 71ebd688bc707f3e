"""The problem's side of the contract: four verbs, and the form in which data travel."""

import abc
from typing import Any, Self

import equinox as eqx
import numpy as np

from lemmata_checker.case import Case
from lemmata_checker.packed import Packed

from ._arrays import is_concrete
from ._claim import Claim, Withheld
from ._errors import InvalidMethod, InvalidProblem


class AbstractValue(eqx.Module):
    """An answer, typed. Its arrays are what the checker judges."""

    @abc.abstractmethod
    def pack(self) -> dict[str, np.ndarray]:
        """Every array of the answer, by the names that the checker's rules know."""

    def uncertified(self) -> tuple[str, ...]:
        """Names of packed arrays that no claim speaks about."""
        return ()


class AbstractProblem(eqx.Module):
    """What the user has, and how good an answer must be. Immutable, data in NumPy."""

    def __check_init__(self) -> None:
        if is_concrete(self):
            self.validate()

    @abc.abstractmethod
    def validate(self) -> None:
        """Checks everything once, on concrete data. Raises `InvalidProblem`."""

    @abc.abstractmethod
    def pack(self) -> Packed:
        """Kind, JSON parameters, arrays: the only form in which a problem travels."""

    @abc.abstractmethod
    def claims(self, value: Any) -> tuple[Claim | Withheld, ...]:
        """What this answer is worth, whoever computed it."""

    def claims_in(self, case: Case, value: Any) -> tuple[Claim | Withheld, ...]:
        """The same, where the checker's case is open already.

        A problem whose promises follow from what the checker's functions find has them
        look at this very case, so that they find it once.
        """
        del case
        return self.claims(value)

    @abc.abstractmethod
    def candidate(self, *args: Any, **kwargs: Any) -> Any:
        """Makes a value of an answer from elsewhere, completing missing witnesses.

        Keyword-only in every problem: each names its own parts of an answer.
        """

    @abc.abstractmethod
    def value_from(self, arrays: dict[str, np.ndarray]) -> AbstractValue:
        """Inverse of `value.pack()`."""

    @abc.abstractmethod
    def default_method(self) -> Any:
        """The method that `solve(problem)` uses."""

    def disclosed(self) -> frozenset[str] | None:
        """Arrays (`value/plan`, ...) that a certificate may carry; None means all."""
        return None

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """Inverse of `pack`; parameters left out take their defaults."""
        return cls(**arrays, **parameters)


def require(
    module: eqx.Module, field: str, condition: Any, *, expected: str, got: Any
) -> None:
    """Raises `InvalidProblem` or `InvalidMethod` unless `condition` holds."""
    if not bool(condition):
        kind = InvalidProblem if isinstance(module, AbstractProblem) else InvalidMethod
        raise kind(f"{type(module).__name__}.{field}", expected, got)
