"""The worlds of a generalization game as the judge reads them."""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from ..case import Case, Malformed
from .certify_generalization_draws import (
    FRESH,
    Rounds,
    below,
    bits,
    blocks,
    distinct,
    eliminate,
    inverse_matrix,
    solve,
)
from .certify_generalization_family import Family
from .certify_generalization_numbers import labelling_floor, linear_floor

KIND = "certify.generalization_game/1"
MOST_ROUNDS = 1_000_000
MOST_ORDER, MOST_POINTS = 997, 2000


class Labelling:
    """d points, all labellings in {0, 1}; oracle or random consistent answer."""

    claim = "certify.no_go_vc/1"
    kind = 1  # what the observer sees: sample and hypothesis

    def __init__(self, points: int, samples: int) -> None:
        self.points, self.samples = points, samples
        self.log_size = points * math.log(2)
        self.dimension = points

    def floor(self, accuracy: Fraction) -> Fraction:
        """Exact: no function of (S, h) fails less, on average over both worlds."""
        return labelling_floor(self.points, self.samples, accuracy)

    def draw(self, key: int, start: int, stop: int) -> Rounds:
        """World 0 answers the truth, world 1 anything that fits the sample."""
        d, n = self.points, self.samples
        packed = -(-d // 64)
        drawn = blocks(key, start, stop, 1 + 2 * packed + n)
        world = (drawn[:, 0] & np.uint64(1)).astype(np.int64)
        truth = bits(drawn[:, 1 : 1 + packed], d)
        guess = bits(drawn[:, 1 + packed : 1 + 2 * packed], d)
        points = below(drawn[:, 1 + 2 * packed :], d)
        seen = np.zeros(truth.shape, dtype=bool)
        np.put_along_axis(seen, points, True, axis=1)
        answer = np.where((world == 1)[:, None] & ~seen, guess, truth)
        labels = np.take_along_axis(truth, points, axis=1)
        index = np.sum(answer != truth, axis=1)
        losses = tuple(Fraction(k, d) for k in range(d + 1))
        return Rounds(world, index, losses, points, labels, answer, truth, world)

    def fresh(self, rounds: Rounds, key: int, start: int, size: int) -> np.ndarray:
        """Errors of the answers on `size` fresh samples, (R,)."""
        stop = start + len(rounds.world)
        points = below(blocks(key, start, stop, size, FRESH), self.points)
        wrong = rounds.hypothesis != rounds.truth
        return np.take_along_axis(wrong, points, axis=1).sum(axis=1)

    def log_ratio(self, rounds: Rounds) -> np.ndarray:
        """Ln of class size over the number of consistent hypotheses, (R,)."""
        return distinct(rounds.points) * math.log(2)


class Linear:
    """x -> <a, x> over a field of prime order, with nested preferred subspaces."""

    claim = "certify.no_go_linear/1"
    kind = 2

    def __init__(
        self, order: int, dimension: int, samples: int, levels: int, basis: Any
    ) -> None:
        self.order, self.samples, self.levels = order, samples, levels
        self.points, self.basis = dimension, basis
        self.log_size = dimension * math.log(order)
        self.dimension = dimension if order == 2 else None
        self.sizes = [samples + level for level in range(levels)] + [dimension]

    def floor(self, accuracy: Fraction) -> Fraction:
        """Exact: no function of S fails less, on average over the worlds."""
        return linear_floor(
            self.order, self.points, self.samples, self.levels, accuracy
        )

    def raw(
        self, key: int, start: int, stop: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Worlds (R,), inputs (R, n, d), truths (R, d), free coefficients (R, d).

        In coordinates in which the preferred subspaces are spanned by the first ones.
        """
        n, d = self.samples, self.points
        drawn = blocks(key, start, stop, 1 + n * d + 2 * d)
        world = below(drawn[:, 0], self.levels + 1)
        numbers = below(drawn[:, 1:], self.order)
        inputs = numbers[:, : n * d].reshape(-1, n, d)
        truth, free = numbers[:, n * d : n * d + d], numbers[:, n * d + d :]
        within = np.arange(d)[None] < np.asarray(self.sizes)[world][:, None]
        return world, inputs, np.where(within, truth, 0), free

    def draw(self, key: int, start: int, stop: int) -> Rounds:
        """Rounds, the equations solved here by elimination."""
        world, inputs, truth, free = self.raw(key, start, stop)
        labels = np.einsum("rnd,rd->rn", inputs, truth) % self.order
        answer = solve(inputs, labels, free, self.sizes, self.order)
        return self.rounds(world, inputs, truth, labels, answer)

    def rounds(
        self,
        world: np.ndarray,
        inputs: np.ndarray,
        truth: np.ndarray,
        labels: np.ndarray,
        answer: np.ndarray,
    ) -> Rounds:
        """The same in the user's coordinates: <B c, x> = <c, B'x>."""
        if self.basis is not None:
            q = self.order
            back = inverse_matrix(self.basis, q)
            inputs = inputs @ back % q  # rows x with B'x = x', so x = x' B^-1
            truth, answer = (v @ self.basis.T % q for v in (truth, answer))
        index = np.any(answer != truth, axis=1).astype(np.int64)
        losses = (Fraction(0), 1 - Fraction(1, self.order))
        return Rounds(world, index, losses, inputs, labels, answer, truth, world)

    def fresh(self, rounds: Rounds, key: int, start: int, size: int) -> np.ndarray:
        """Errors of the answers on `size` fresh samples, (R,)."""
        stop = start + len(rounds.world)
        drawn = blocks(key, start, stop, size * self.points, FRESH)
        x = below(drawn, self.order).reshape(len(drawn), size, self.points)
        away = (rounds.hypothesis - rounds.truth) % self.order
        # Exact in float64: sums below order^2 d < 2^53.
        image = x.astype(np.float64) @ away[:, :, None].astype(np.float64)
        return np.sum(image[:, :, 0] % self.order != 0, axis=1)

    def log_ratio(self, rounds: Rounds) -> np.ndarray:
        """Ln of class size over the number of consistent hypotheses: rank ln q."""
        q = self.order
        echelon, pivots = eliminate(rounds.points % q, q)
        del echelon
        return np.sum(pivots >= 0, axis=1) * math.log(q)


def integer(value: Any, name: str, low: int, high: int) -> int:
    """An integer within bounds. Raises `Malformed`."""
    if type(value) is not int or not low <= value <= high:
        raise Malformed(
            f"{name}: expected an integer in [{low}, {high}], got {value!r}"
        )
    return value


def is_prime(number: int) -> bool:
    """Trial division: orders are small."""
    return number > 1 and all(number % p for p in range(2, math.isqrt(number) + 1))


def world_of(case: Case) -> Labelling | Linear | Family:
    """The world of a packed game, everything checked. Raises `Malformed`."""
    return case.shared("generalization: world", lambda: _world(case))


def _world(case: Case) -> Labelling | Linear | Family:
    stated, arrays = case.problem.json.get("world"), case.problem.arrays
    if case.problem.kind != KIND or not isinstance(stated, dict):
        raise Malformed(f"expected a problem of kind {KIND} with a world")
    name = stated.get("name")
    samples = integer(stated.get("samples"), "world.samples", 1, MOST_POINTS)
    if name == "random_labelling":
        points = integer(
            stated.get("points"), "world.points (> samples)", samples + 1, MOST_POINTS
        )
        return Labelling(points, samples)
    if name == "linear_over_field":
        return _linear(stated, arrays.get("basis"), samples)
    if name == "finite_family":
        weights = arrays.get("distributions")
        if weights is None:
            raise Malformed("array distributions is missing")
        groups = [tuple(stated.get(g) or ()) for g in ("succeeds", "fails")]
        for group in groups:
            for i in group:
                integer(i, "world.succeeds/fails", 0, len(weights) - 1)
        if bool(groups[0]) != bool(groups[1]):
            raise Malformed("world.succeeds and world.fails: expected both or none")
        return Family(weights, samples, *groups)
    raise Malformed(f"world.name: unknown {name!r}")


def _linear(stated: dict[str, Any], basis: Any, samples: int) -> Linear:
    order = integer(stated.get("order"), "world.order", 2, MOST_ORDER)
    if not is_prime(order):
        raise Malformed(f"world.order: expected a prime, got {order}")
    levels = integer(stated.get("levels"), "world.levels", 1, 64)
    least = samples + levels
    dimension = integer(
        stated.get("dimension"), "world.dimension (> samples)", least, MOST_POINTS
    )
    if basis is not None:
        if basis.dtype != np.int64 or basis.shape != (dimension, dimension):
            raise Malformed(f"basis: expected int64, ({dimension}, {dimension})")
        basis = basis % order
        inverse_matrix(basis, order)
    return Linear(order, dimension, samples, levels, basis)


def accuracy_of(case: Case) -> Fraction:
    """eps, from text such as "1/8" or "0.15", exactly. Raises `Malformed`."""
    stated = case.problem.json.get("accuracy")
    try:
        if not isinstance(stated, str) or len(stated) > 64:
            raise ValueError
        found = Fraction(stated)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not 0 < found < Fraction(1, 2):
        raise Malformed(
            f"accuracy: expected text of a fraction in (0, 1/2): {stated!r}"
        )
    return found
