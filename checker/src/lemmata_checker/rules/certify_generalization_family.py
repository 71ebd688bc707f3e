"""Finite families of distributions: the game, and the exact overlap of its worlds."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations_with_replacement

import numpy as np

from ..case import Malformed
from .certify_generalization_draws import FRESH, Rounds, below, blocks, unit_of

MOST_WORK = 60_000  # samples times members that are enumerated


class Family:
    """A finite family of distributions over m points with deterministic labels."""

    claim = "certify.no_go_family/1"

    def __init__(
        self,
        weights: np.ndarray,
        samples: int,
        succeeds: tuple[int, ...] = (),
        fails: tuple[int, ...] = (),
    ) -> None:
        self.samples = samples
        self.marginal, self.labelling, self.exact = _tables(weights)
        self.members, self.points = self.labelling.shape
        self.groups = (succeeds, fails) if succeeds else None
        self.kind = 2 if succeeds else 1
        if succeeds:
            self.claim = "certify.no_go_algorithm/1"
        self.log_size = math.log(self.members)
        two = weights.shape[2] <= 2
        self.dimension = int(math.log2(self.members)) if two else None

    def loss(self, source: int, answer: int) -> Fraction:
        """L of the labelling `answer` under the distribution `source`."""
        away = self.labelling[source] != self.labelling[answer]
        return sum((self.exact[source][x] for x in np.flatnonzero(away)), Fraction(0))

    def multisets(self) -> int:
        """How many samples there are, their order left aside."""
        return math.comb(self.points + self.samples - 1, self.samples)

    def draw(self, key: int, start: int, stop: int) -> Rounds:
        """World 0 answers the truth, world 1 a sample of the posterior.

        With sub-families: world w draws its distribution from sub-family w, and the
        algorithm answers the first labelling of the family that fits.
        """
        n = self.samples
        drawn = blocks(key, start, stop, 3 + n)
        world = (drawn[:, 0] & np.uint64(1)).astype(np.int64)
        if self.groups is None:
            source = below(drawn[:, 1], self.members)
        else:
            picks = [np.asarray(g)[below(drawn[:, 1], len(g))] for g in self.groups]
            source = np.where(world == 0, picks[0], picks[1])
        points = self.points_of(source, unit_of(drawn[:, 3:]))
        fits = self.fitting(points, source)
        if self.groups is not None:
            answer = np.argmax(fits, axis=1)
        else:
            drawn_answer = self.posterior(points, fits, unit_of(drawn[:, 2]))
            answer = np.where(world == 0, source, drawn_answer)
        labels = np.take_along_axis(self.labelling[source], points, axis=1)
        table, index = self.loss_table()
        truth = self.labelling[source]
        return Rounds(
            world,
            index[source, answer],
            table,
            points,
            labels,
            self.labelling[answer],
            truth,
            source,
        )

    def points_of(self, source: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """Points by inversion of each marginal, (R, n)."""
        below = np.cumsum(self.marginal, axis=1)[:, :-1]
        return np.sum(unit[:, :, None] >= below[source][:, None, :], axis=2)

    def fitting(self, points: np.ndarray, source: np.ndarray) -> np.ndarray:
        """Which labellings agree with the sample, (R, k)."""
        seen = self.labelling[:, points].transpose(1, 0, 2)
        right = np.take_along_axis(self.labelling[source], points, axis=1)
        return np.all(seen == right[:, None], axis=2)

    def posterior(
        self, points: np.ndarray, fits: np.ndarray, unit: np.ndarray
    ) -> np.ndarray:
        """A member from the posterior under a uniform prior, by inversion, (R,)."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.marginal)[:, points].sum(axis=2).T
        logs = np.where(fits, logs, -np.inf)
        weight = np.exp(logs - logs.max(axis=1, keepdims=True))
        below = np.cumsum(weight, axis=1)
        return np.sum(unit[:, None] * below[:, -1:] >= below, axis=1)

    def loss_table(self) -> tuple[tuple[Fraction, ...], np.ndarray]:
        """Distinct losses, and which one each (source, answer) has."""
        k = self.members
        losses = [[self.loss(i, j) for j in range(k)] for i in range(k)]
        table = sorted({value for row in losses for value in row})
        place = {value: at for at, value in enumerate(table)}
        return tuple(table), np.array([[place[v] for v in row] for row in losses])

    def fresh(self, rounds: Rounds, key: int, start: int, size: int) -> np.ndarray:
        """Errors of the answers on `size` fresh samples, (R,)."""
        stop = start + len(rounds.world)
        unit = unit_of(blocks(key, start, stop, size, FRESH))
        points = self.points_of(rounds.source, unit)
        wrong = rounds.hypothesis != rounds.truth
        return np.take_along_axis(wrong, points, axis=1).sum(axis=1)

    def log_ratio(self, rounds: Rounds) -> np.ndarray:
        """Ln of family size over the number of consistent members, (R,)."""
        fits = self.fitting(rounds.points, rounds.source)
        return math.log(self.members) - np.log(fits.sum(axis=1))


def _tables(
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, list[list[Fraction]]]:
    """Marginals (k, m), labels (k, m), and marginals as fractions; all checked."""
    good = weights.dtype == np.float64 and weights.ndim == 3 and weights.size
    if not good or not np.all(np.isfinite(weights)) or np.any(weights < 0):
        raise Malformed("distributions: expected (k, m, labels) float64, >= 0")
    several = np.sum(weights > 0, axis=2) > 1
    if np.any(several):
        i, x = np.argwhere(several)[0]
        raise Malformed(
            f"distributions[{i}]: expected one label at each point (realizable), got "
            f"several at point {x}"
        )
    rows = [
        [sum(map(Fraction, p), Fraction(0)) for p in row] for row in weights.tolist()
    ]
    sums = [sum(row, Fraction(0)) for row in rows]
    empty = [i for i, total in enumerate(sums) if not total]
    if empty:
        raise Malformed(f"distributions[{empty[0]}]: expected some mass")
    exact = [[p / s for p in row] for row, s in zip(rows, sums, strict=True)]
    marginal = np.array([[float(p) for p in row] for row in exact])
    return marginal, np.argmax(weights, axis=2), exact


def least_failure(masses: list[tuple[Fraction, Fraction]], width: Fraction) -> Fraction:
    """Mass that every estimate misses: an estimate is right on an open interval.

    **Arguments:** `masses`: (loss, mass); `width`: 2 eps.
    """
    whole = sum((mass for _, mass in masses), Fraction(0))
    best = Fraction(0)
    for start, _ in masses:
        inside = (m for loss, m in masses if start <= loss < start + width)
        best = max(best, sum(inside, Fraction(0)))
    return whole - best


def family_floor(family: Family, accuracy: Fraction) -> tuple[Fraction, Fraction]:
    """The exact least failure on average over both worlds, and their total variation.

    The variation is that of what is observed (samples); 0 for the game on (S, h).
    """
    if family.multisets() * family.members > MOST_WORK:
        raise Malformed(
            f"{family.multisets()} samples of {family.members} distributions are too "
            "many to enumerate"
        )
    loss = [
        [family.loss(i, j) for j in range(family.members)]
        for i in range(family.members)
    ]
    total = variation = Fraction(0)
    for members, mass in _observed(family):
        if family.groups is None:
            total += _overlap(members, mass, loss, 2 * accuracy)
            continue
        parts = _parts(family, members, mass)
        one, other = (sum(part.values(), Fraction(0)) for part in parts)
        variation += abs(one - other) / 2
        answer = members[0]
        masses = [
            (loss[i][answer], share / 2) for part in parts for i, share in part.items()
        ]
        total += least_failure(masses, 2 * accuracy)
    return total, variation


def _parts(
    family: Family, members: list[int], mass: dict[int, Fraction]
) -> list[dict[int, Fraction]]:
    """Mass of the observation from each member of each sub-family."""
    assert family.groups is not None
    return [
        {
            i: sum((mass[i] for j in group if j == i), Fraction(0)) / len(group)
            for i in dict.fromkeys(group)
            if i in members
        }
        for group in family.groups
    ]


def _observed(family: Family) -> Iterator[tuple[list[int], dict[int, Fraction]]]:
    """Every sample that some member can give: who agrees with it, and its mass."""
    m, n = family.points, family.samples
    for chosen in combinations_with_replacement(range(m), n):
        support = sorted(set(chosen))
        orders = math.factorial(n)
        for x in support:
            orders //= math.factorial(chosen.count(x))
        groups: dict[tuple[int, ...], list[int]] = {}
        for i in range(family.members):
            labels = tuple(family.labelling[i, support].tolist())
            groups.setdefault(labels, []).append(i)
        for members in groups.values():
            mass = {
                i: math.prod(
                    (family.exact[i][x] for x in chosen), start=Fraction(orders)
                )
                for i in members
            }
            if any(mass.values()):
                yield members, mass


def _overlap(
    members: list[int],
    mass: dict[int, Fraction],
    loss: list[list[Fraction]],
    width: Fraction,
) -> Fraction:
    """World 0 gives (S, f_j) the mass u_j / k with loss 0; world 1 u_i u_j / (k sum u)
    with the loss of f_j under D_i. As both masses are equal, what is far from 0 in
    world 1 is missed by an estimate near 0, and another one misses world 0.
    """
    whole, k = sum(mass.values(), Fraction(0)), len(loss)
    far = sum(
        (mass[i] * mass[j] for i in members for j in members if loss[i][j] >= width),
        Fraction(0),
    )
    return far / whole / k / 2
