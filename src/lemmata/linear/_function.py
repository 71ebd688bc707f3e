"""Operators given as functions: they are applied, recorded, and never proven."""

import hashlib
import inspect
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ..core import AnyArray, Claim, InvalidArgument, Withheld, array64, float64

_REASON = "the operator is a function: the judge cannot evaluate it"


@final
class LinearFunction(eqx.Module):
    """A linear map given as a JAX function; claims about it are evidence at most.

    **Fields:**

    - `function`: x -> A x, (n,) to (n,), float64, linear, symmetric, positive definite:
      all of it unchecked. Arrays that it closes over should be fields of an Equinox
      module, lest they be compiled in. None (in a certificate read back): unknown.
    - `size`: n.
    - `diagonal_entries`: A_ii > 0, shape (n,), for preconditioning; None takes ones.
    - `name`: for the certificate; defaults to the function's own name.
    - `source_digest`: SHA-256 of its source text, empty where there is none.
    """

    function: Callable[[Any], Any] | None
    size: int = eqx.field(static=True)
    diagonal_entries: AnyArray | None
    name: str = eqx.field(static=True)
    source_digest: str = eqx.field(static=True)

    def __init__(
        self,
        function: Callable[[Any], Any] | None,
        size: int,
        *,
        diagonal_entries: Any = None,
        name: str | None = None,
        source_digest: str | None = None,
    ):
        self.function, self.size = function, int(size)
        given = diagonal_entries is not None
        self.diagonal_entries = array64(diagonal_entries) if given else None
        self.name = _name(function) if name is None else name
        known = source_digest is not None
        self.source_digest = source_digest if known else _digest(function)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, n)."""
        return self.size, self.size

    def __matmul__(self, x: Any) -> Any:
        if self.function is None:
            expected = "the function itself (a certificate holds its digest alone)"
            raise InvalidArgument("LinearFunction.function", expected, "none")
        return self.function(x)

    def diagonal(self) -> Any:
        """A_ii, shape (n,): as given, else ones."""
        if self.diagonal_entries is None:
            return jnp.ones(self.size)
        return self.diagonal_entries

    def describe(self) -> dict[str, Any]:
        """What of it travels."""
        return {
            "function": {
                "name": self.name,
                "size": self.size,
                "source_sha256": self.source_digest,
            }
        }


def _name(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)


def _digest(function: Any) -> str:
    source = function if inspect.isroutine(function) else type(function)
    try:
        text = inspect.getsource(source)
    except (OSError, TypeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()


@eqx.filter_jit
def _applied(problem: Any, x: Any) -> Any:
    return problem.apply(x)


def recorded_claims(problem: Any, value: Any) -> tuple[Claim | Withheld, ...]:
    """The function is evaluated once more, at the answer, and that is recorded."""
    x = np.asarray(value.x, np.float64)
    withheld = tuple(
        Withheld(f"linear.{name}/1", _REASON)
        for name in ("residual", "residual_max", "error_bound")
    )
    if problem.operator.function is None:
        reason = "the function did not travel: nothing can be recorded"
        return (*withheld, Withheld("linear.recorded_residual/1", reason))
    with float64():
        image = np.asarray(_applied(problem, jnp.asarray(x)))
    claim = Claim(
        "linear.recorded_residual/1",
        float(problem.rtol),
        witness={"point": x, "image": image},
    )
    return (claim, *withheld)
