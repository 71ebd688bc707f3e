"""Preconditioners: r -> M r with M symmetric positive definite, near the inverse of A.

Source: Saad, Iterative Methods for Sparse Linear Systems (2003), chapters 4.1 and 10.
"""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, final

import equinox as eqx
import jax.numpy as jnp
import scipy.sparse as sp
from jax import Array

from ..core import AnyArray, InvalidMethod, float64, is_concrete, require, to_jax
from ._problem import Real
from ._wavefront import SweptMatrix, Wavefronts


class AbstractPreconditioner(eqx.Module):
    """Options of a preconditioner; `prepare` makes the map itself.

    `hosted` ones are set up on the host, once per problem, before the first step.
    """

    hosted: ClassVar[bool] = False

    def __check_init__(self) -> None:
        if is_concrete(self):
            self.validate()

    def validate(self) -> None:
        """Checks the options. Raises `InvalidMethod`."""

    @abc.abstractmethod
    def prepare(self, problem: Any) -> Any:
        """A module that maps r (n,) to M r (n,), applied in JAX."""

    def prepared(self, problem: Any) -> "Prepared":
        """Set up for one problem, for `run`, which never visits the host."""
        with float64():
            return Prepared(self.prepare(problem))

    def citations(self) -> tuple[str, ...]:
        """Keys in `references.bib`."""
        return ()


class Scaling(eqx.Module):
    """r -> inverse r, elementwise."""

    inverse: AnyArray

    def __call__(self, residual: Array) -> Array:
        return residual * self.inverse


class Unchanged(eqx.Module):
    """r -> r."""

    def __call__(self, residual: Array) -> Array:
        return residual


class TwoSweeps(eqx.Module):
    """r -> scale (K + U)^{-1} middle (K + L)^{-1} r, K + L + U = `matrix`, relaxed.

    With `relaxation` w, L and U are multiplied by w first.
    """

    matrix: SweptMatrix
    middle: Array
    scale: Array
    relaxation: Array

    def __call__(self, residual: Array) -> Array:
        fronts = self.matrix.fronts
        found = self.matrix.forward(fronts.enter(residual), self.relaxation)
        found = self.matrix.backward(self.middle * found, self.relaxation)
        return self.scale * fronts.leave(found)


@final
class Identity(AbstractPreconditioner):
    """No preconditioning: M = I."""

    def prepare(self, problem: Any) -> Unchanged:
        del problem
        return Unchanged()


@final
class Jacobi(AbstractPreconditioner):
    """Division by the diagonal: M = D^{-1}."""

    def prepare(self, problem: Any) -> Scaling:
        return Scaling(1.0 / jnp.asarray(problem.diagonal()))


@final
class SymmetricSOR(AbstractPreconditioner):
    """A sweep down and one up: M^{-1} = (D + w L) D^{-1} (D + w L^T) / (w (2 - w)).

    Rows are swept in the order of the unknowns; those that do not wait for each other
    at once, which changes nothing.

    **Options:**

    - `relaxation`: w, in (0, 2).
    """

    hosted: ClassVar[bool] = True
    relaxation: Real = 1.0

    def validate(self) -> None:
        check_relaxation(self, self.relaxation)

    def prepare(self, problem: Any) -> TwoSweeps:
        matrix = swept(stored_matrix("SymmetricSOR", problem))
        omega = jnp.asarray(self.relaxation, jnp.float64)
        return TwoSweeps(matrix, matrix.diagonal, omega * (2.0 - omega), omega)

    def citations(self) -> tuple[str, ...]:
        return ("axelsson1994iterative",)


@final
class Prepared(AbstractPreconditioner):
    """One that has been set up already: `IncompleteCholesky().prepared(problem)`.

    **Options:**

    - `function`: module that maps r to M r; M must be symmetric positive definite.
    """

    function: Callable[[Any], Any]

    def validate(self) -> None:
        good = callable(self.function)
        got = type(self.function).__name__
        require(self, "function", good, expected="a function of r", got=got)

    def prepare(self, problem: Any) -> Callable[[Any], Any]:
        del problem
        return self.function


def check_relaxation(owner: eqx.Module, relaxation: Any) -> None:
    """In (0, 2). Raises `InvalidMethod`."""
    good = 0 < relaxation < 2
    require(owner, "relaxation", good, expected="in (0, 2)", got=relaxation)


def swept(matrix: sp.csr_array, data: Any = None) -> SweptMatrix:
    """A matrix of symmetric pattern with a full diagonal, ready to be swept; host only.

    `data` replaces its entries.
    """
    fronts = Wavefronts.of(matrix.indices, matrix.indptr)
    return to_jax(fronts.matrix(matrix.data if data is None else data))


def stored_matrix(owner: str, problem: Any) -> sp.csr_array:
    """The problem's matrix, without stored zeros. Raises `InvalidMethod`."""
    from ..core import InvalidArgument

    try:
        matrix = problem.matrix().copy()
    except InvalidArgument as error:
        expected = "an operator whose entries are stored"
        raise InvalidMethod(owner, expected, error.got) from error
    matrix.eliminate_zeros()
    return matrix
