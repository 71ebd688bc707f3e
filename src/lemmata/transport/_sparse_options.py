"""Options of the sparse methods that are types: the path of caps, the recovery."""

import abc
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp

from ..core import InvalidMethod
from ._cost import Real


def _positive(module: eqx.Module, *names: str) -> None:
    for name in names:
        value = getattr(module, name)
        if not value > 0:
            raise InvalidMethod(f"{type(module).__name__}.{name}", "> 0", value)


class AbstractPath(eqx.Module):
    """Which caps are climbed in turn, each from where the last one ended."""

    @abc.abstractmethod
    def caps(self, cap: int, size: int) -> tuple[int, ...]:
        """From at most `size` down to `cap`."""

    @abc.abstractmethod
    def steps_at(self, limit: Any, cap: int, most: int) -> Any:
        """Bound on the steps at the cap `limit` (may be traced)."""

    def validate(self) -> None:
        """Raises `InvalidMethod` for an option that does not fit."""


@final
class Direct(AbstractPath):
    """Only the cap itself."""

    def caps(self, cap: int, size: int) -> tuple[int, ...]:
        """(cap,)."""
        del size
        return (cap,)

    def steps_at(self, limit: Any, cap: int, most: int) -> Any:
        """`most`."""
        del limit, cap
        return most


@final
class Halving(AbstractPath):
    """From quadratic transport (no cap) by halves down to the cap.

    **Options:**

    - `steps`: bound on the steps at each cap but the last, > 0.
    """

    steps: int = 30

    def caps(self, cap: int, size: int) -> tuple[int, ...]:
        """(size, size // 2, ..., cap)."""
        caps = []
        while size > cap:
            caps.append(size)
            size //= 2
        return (*caps, cap)

    def steps_at(self, limit: Any, cap: int, most: int) -> Any:
        """`steps` on the way, `most` at the end."""
        return jnp.where(limit > cap, min(self.steps, most), most)

    def validate(self) -> None:
        _positive(self, "steps")


class AbstractMixture(eqx.Module):
    """How the optimal mixture of plans is found where top-k sets tie."""

    def validate(self) -> None:
        """Raises `InvalidMethod` for an option that does not fit."""


@final
class Barrier(AbstractMixture):
    """An interior point, exact to rounding; it also finishes the maximisation.

    **Options:**

    - `largest`: points on the side without a cap up to which its dense linear systems
      are solved; beyond, `Averaging()` serves.
    - `after`: optimizer's steps at the last cap before the interior point takes over.
    """

    largest: int = 1500
    after: int = 30

    def validate(self) -> None:
        _positive(self, "largest", "after")


@final
class Averaging(AbstractMixture):
    """The mean plan over supergradient steps from the maximiser.

    **Options:**

    - `steps`: how many, > 0.
    - `length`: of step t times sqrt(t), > 0, in units of the range of the cost.
    """

    steps: int = 400
    length: Real = 1e-3

    def validate(self) -> None:
        _positive(self, "steps", "length")


class AbstractRecovery(eqx.Module):
    """Which plan is returned."""

    def validate(self) -> None:
        """Raises `InvalidMethod` for an option that does not fit."""


@final
class Selection(AbstractRecovery):
    """T(alpha), optimal for its own row sums, which are not the ones asked for."""


@final
class Polish(AbstractRecovery):
    """A plan within the cap whose rows are right, or as nearly as was found.

    **Options:**

    - `mixture`: `Barrier()` or `Averaging()`; its k largest entries per column are the
      first support.
    - `searches`: supports sought where the first one does not admit the rows, 0 to 3.
    - `sweeps`: bound on the sweeps of one search, > 0.
    """

    mixture: AbstractMixture = Barrier()
    searches: int = 3
    sweeps: int = 150

    def validate(self) -> None:
        _positive(self, "sweeps")
        if not 0 <= self.searches <= 3:
            raise InvalidMethod("Polish.searches", "0 to 3", self.searches)
        self.mixture.validate()
