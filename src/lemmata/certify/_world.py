"""Worlds of a generalization game: who draws distribution, sample and answer.

Source: Gastpar, Nachum, Shafer, Weinberger, ICLR 2024 (arXiv 2309.13658), theorems 1 to
5; constants and exact laws derived in the docs.
"""

import abc
import math
from fractions import Fraction
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np

from lemmata_checker.errors import Malformed
from lemmata_checker.rules import (
    certify_generalization_worlds as judged,
)
from lemmata_checker.rules.certify_generalization_draws import Rounds

from ..core import InvalidArgument
from ._game_elimination import solutions
from ._measure import Hypothesis


class AbstractWorld(eqx.Module):
    """How rounds of a game are drawn, and below which failure nobody gets."""

    name: ClassVar[str]
    claim: ClassVar[str]

    def __check_init__(self) -> None:
        self.check()

    @abc.abstractmethod
    def check(self) -> None:
        """Raises `InvalidArgument`."""

    @abc.abstractmethod
    def judged(self) -> Any:
        """The same world as the judge has it: draws, losses, floors."""

    @abc.abstractmethod
    def record(self) -> dict[str, Any]:
        """Name and numbers, as they travel."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays that travel."""
        return {}

    def rounds(self, key: int, start: int, stop: int) -> Rounds:
        """Rounds `start` to `stop` of the stream with this key."""
        return self.judged().draw(key, start, stop)

    def no_go(self, accuracy: Fraction) -> Fraction | None:
        """The exact least failure on average over worlds; None if not affordable."""
        return self.judged().floor(accuracy)

    @abc.abstractmethod
    def hypothesis(self, answer: np.ndarray) -> Hypothesis:
        """What the observer may see of an answer."""

    @property
    def observed(self) -> int:
        """1: estimates see sample and answer; 2: the sample alone."""
        return self.judged().kind


def demand(
    world: AbstractWorld, field: str, good: Any, expected: str, got: Any
) -> None:
    if not bool(good):
        raise InvalidArgument(f"{type(world).__name__}.{field}", expected, got)


def whole(value: Any) -> bool:
    """Whether this is an integer, True and False aside."""
    return isinstance(value, int) and not isinstance(value, bool)


def visible(array: np.ndarray) -> np.ndarray:
    """A copy that shares no memory with the game, and cannot be written to."""
    copy = np.array(array)
    copy.setflags(write=False)
    return copy


@final
class RandomLabelling(AbstractWorld):
    """`points` points, labels in {0, 1} drawn by fair coins, a uniform sample.

    One world's algorithm answers the true labelling, the other's any labelling that
    fits the sample, at random. Sample and answer have the same law in both.

    **Fields:**

    - `points`: d > n.
    - `samples`: n >= 1.

    **Raises:** `InvalidArgument`.
    """

    points: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)

    name: ClassVar[str] = "random_labelling"
    claim: ClassVar[str] = "certify.no_go_vc/1"

    def check(self) -> None:
        n, most = self.samples, judged.MOST_POINTS
        demand(self, "samples", whole(n) and n >= 1, "an integer >= 1", n)
        fits = whole(self.points) and n < self.points <= most
        demand(self, "points", fits, f"an integer in ({n}, {most}]", self.points)

    def judged(self) -> judged.Labelling:
        return judged.Labelling(self.points, self.samples)

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "points": self.points, "samples": self.samples}

    def hypothesis(self, answer: np.ndarray) -> Hypothesis:
        size = self.points * math.log(2)
        return Hypothesis(visible(answer), 0, self.points, size, self.points)


@final
class LinearOverField(AbstractWorld):
    """Functions x -> <a, x> over the field of `order` elements; order 2 is parity.

    The algorithm prefers nested subspaces of dimensions n, n + 1, ..., then everything:
    it answers a uniform solution of X a = y from the smallest one that has any. World w
    draws a uniformly from subspace w. An estimate sees the sample alone.

    **Fields:**

    - `order`: q, a prime up to 997.
    - `dimension`: d >= n + levels.
    - `samples`: n >= 1.
    - `levels`: how many subspaces are preferred; 1 is the paper's basic form.
    - `basis`: (d, d) integers, invertible modulo q; its first columns span the
      subspaces. None: the first coordinates.

    **Raises:** `InvalidArgument`.
    """

    order: int = eqx.field(static=True)
    dimension: int = eqx.field(static=True)
    samples: int = eqx.field(static=True)
    levels: int = eqx.field(static=True, default=1)
    basis: Any = None

    name: ClassVar[str] = "linear_over_field"
    claim: ClassVar[str] = "certify.no_go_linear/1"

    def check(self) -> None:
        q, n = self.order, self.samples
        prime = whole(q) and q <= judged.MOST_ORDER and judged.is_prime(q)
        demand(self, "order", prime, f"a prime up to {judged.MOST_ORDER}", q)
        demand(self, "samples", whole(n) and n >= 1, "an integer >= 1", n)
        good = whole(self.levels) and 1 <= self.levels <= 64
        demand(self, "levels", good, "an integer in [1, 64]", self.levels)
        least, d = n + self.levels, self.dimension
        fits = whole(d) and least <= d <= judged.MOST_POINTS
        demand(self, "dimension", fits, f"an integer >= samples + levels = {least}", d)
        if self.basis is None:
            return
        basis = np.asarray(self.basis)
        square = basis.shape == (d, d) and np.array_equal(basis, np.rint(basis))
        demand(self, "basis", square, f"({d}, {d}) integers", basis.shape)
        try:
            judged.inverse_matrix(basis.astype(np.int64) % q, q)
        except Malformed:
            demand(self, "basis", False, f"invertible modulo {q}", "a singular one")

    def judged(self) -> judged.Linear:
        basis = None
        if self.basis is not None:
            basis = np.asarray(self.basis).astype(np.int64) % self.order
        return judged.Linear(
            self.order, self.dimension, self.samples, self.levels, basis
        )

    def rounds(self, key: int, start: int, stop: int) -> Rounds:
        """As the judge draws them, the systems solved in JAX."""
        world = self.judged()
        which, inputs, truth, free = world.raw(key, start, stop)
        labels = np.einsum("rnd,rd->rn", inputs, truth) % self.order
        answer = solutions(inputs, labels, free, tuple(world.sizes), self.order)
        answer = np.asarray(answer, dtype=np.int64)
        return world.rounds(which, inputs, truth, labels, answer)

    def record(self) -> dict[str, Any]:
        names = ("order", "dimension", "samples", "levels")
        return {"name": self.name} | {n: getattr(self, n) for n in names}

    def arrays(self) -> dict[str, np.ndarray]:
        if self.basis is None:
            return {}
        return {"basis": np.asarray(self.basis).astype(np.int64)}

    def hypothesis(self, answer: np.ndarray) -> Hypothesis:
        two = self.dimension if self.order == 2 else None
        size = self.dimension * math.log(self.order)
        return Hypothesis(None, self.order, 0, size, two)
