"""Games that a generalization measure plays against two worlds.

Source: Gastpar, Nachum, Shafer, Weinberger, ICLR 2024 (arXiv 2309.13658).
"""

import math
from fractions import Fraction
from typing import Any, Self, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64, Int64

from lemmata_checker import Packed
from lemmata_checker.rigor import float_down
from lemmata_checker.rules.certify_generalization_games import missed
from lemmata_checker.rules.certify_generalization_worlds import KIND, MOST_ROUNDS

from ..core import (
    AbstractProblem,
    AbstractValue,
    AnyArray,
    Claim,
    InvalidArgument,
    Withheld,
    array64,
    require,
)
from ._measure import AbstractMeasure, UnknownMeasure, as_measure
from ._measure_catalogue import measure_of, parsed
from ._measure_tails import one_sided_lower
from ._world import AbstractWorld
from ._world_family import world_of

FAILS, SAMPLED = "certify.measure_fails/1", "certify.no_go_family_sampled/1"
DRAWS = 4000  # posterior samples where a family cannot be enumerated
_SAFE = 1e-9  # relative, between what is computed here and what the judge can show


def as_fraction(value: Any) -> Any:
    """Text such as "1/8", a fraction, or a float read as the decimal that it prints."""
    try:
        if isinstance(value, float | np.floating):
            return Fraction(repr(float(value)))
        return Fraction(value)
    except (ValueError, TypeError, ZeroDivisionError):
        return value


@final
class GameRecord(AbstractValue):
    """What came of a game.

    **Fields:**

    - `no_go`: no measure of this kind fails with a smaller probability, on average over
      the worlds; so in one world every measure fails at least so often.
    - `key`: of the stream of rounds.
    - `estimates`, `losses`, `worlds`: what the measure said, what was true, and where,
      for each round (R,); None if no game was played.
    """

    no_go: Float64[AnyArray, ""]
    key: Int64[AnyArray, ""]
    estimates: Float64[AnyArray, " rounds"] | None = None
    losses: Float64[AnyArray, " rounds"] | None = None
    worlds: Int64[AnyArray, " rounds"] | None = None

    def pack(self) -> dict[str, np.ndarray]:
        packed: dict[str, np.ndarray] = {
            "no_go": np.asarray(self.no_go, dtype="<f8"),
            "key": np.asarray(self.key, dtype="<i8"),
        }
        if self.estimates is not None:
            packed["estimates"] = np.asarray(self.estimates, dtype="<f8")
            packed["losses"] = np.asarray(self.losses, dtype="<f8")
            packed["worlds"] = np.asarray(self.worlds, dtype="<i8")
        return packed

    def uncertified(self) -> tuple[str, ...]:
        return ("key",) if self.estimates is None else ()


@final
class GeneralizationGame(AbstractProblem):
    """How often must this measure be wrong, and how often must every measure be?

    Each round draws a world by a fair coin, then distribution, sample and answer. The
    measure sees a copy of sample and answer (of the sample alone in worlds of type 2),
    and fails if it is `accuracy` or more away from the true loss.

    **Fields:**

    - `world`: `RandomLabelling`, `LinearOverField` or `FiniteFamily`.
    - `measure`: a built-in measure, a subclass of `AbstractMeasure`, or a function of
      (hypothesis, sample) that returns a number.
    - `accuracy`: eps in (0, 1/2), exactly: text such as "1/8", a `Fraction`, or a
      float, which stands for the decimal that it prints.
    - `rounds`: how many, R.
    - `confidence`: of the claim on the measure's failures.

    **Raises:** `InvalidProblem`, `InvalidArgument`.
    """

    world: AbstractWorld
    measure: AbstractMeasure
    accuracy: Fraction = eqx.field(static=True)
    rounds: int = eqx.field(static=True)
    confidence: float = eqx.field(static=True)

    def __init__(
        self,
        world: AbstractWorld,
        measure: Any,
        accuracy: Any,
        rounds: int = 4000,
        *,
        confidence: float = 0.95,
    ):
        self.world = world
        self.measure = as_measure(measure, "GeneralizationGame.measure")
        self.accuracy = as_fraction(accuracy)
        self.rounds, self.confidence = rounds, confidence

    def validate(self) -> None:
        known = isinstance(self.world, AbstractWorld)
        got = type(self.world).__name__
        require(self, "world", known, expected="a world of this room", got=got)
        eps = self.accuracy
        good = isinstance(eps, Fraction) and 0 < eps < Fraction(1, 2)
        require(self, "accuracy", good, expected="a number in (0, 1/2)", got=eps)
        r = self.rounds
        whole = isinstance(r, int) and not isinstance(r, bool) and 1 <= r <= MOST_ROUNDS
        expected = f"an integer in [1, {MOST_ROUNDS}]"
        require(self, "rounds", whole, expected=expected, got=r)
        inside = isinstance(self.confidence, float) and 0 < self.confidence < 1
        require(self, "confidence", inside, expected="in (0, 1)", got=self.confidence)

    def pack(self) -> Packed:
        parameters = {
            "world": self.world.record(),
            "measure": self.measure.record(),
            "accuracy": str(self.accuracy),
            "rounds": self.rounds,
            "confidence": float(self.confidence),
        }
        return Packed(KIND, parameters, self.world.arrays())

    @classmethod
    def unpack(cls, parameters: dict[str, Any], arrays: dict[str, Any]) -> Self:
        parameters = dict(parameters)
        world = world_of(parsed(parameters.pop("world", None)), dict(arrays))
        measure = measure_of(parameters.pop("measure", None))
        return cls(world, measure, parameters.pop("accuracy", None), **parameters)

    def no_go(self) -> Fraction | None:
        """The exact floor; None for a family too large to enumerate."""
        return self.world.no_go(self.accuracy)

    def sampled_no_go(self, key: int) -> float:
        """Half a lower confidence bound on P(a posterior sample is 2 eps off)."""
        rounds = self.world.rounds(key, 0, DRAWS)
        far = np.array([loss >= 2 * self.accuracy for loss in rounds.losses])
        one = rounds.world == 1
        count, total = int(np.sum(far[rounds.place[one]])), int(np.sum(one))
        low = one_sided_lower(count, total, 1 - self.confidence)
        return low / 2 * (1 - _SAFE)

    def stated_no_go(self, key: int) -> float:
        """The floor as it is promised, whichever way it is found."""
        exact = self.no_go()
        return self.sampled_no_go(key) if exact is None else float_down(exact)

    def failures(self, value: GameRecord) -> np.ndarray:
        """Where |estimate - loss| >= eps, as between real numbers, (R,) bool."""
        if value.estimates is None:
            raise InvalidArgument(
                "GeneralizationGame.failures", "a played game", "none"
            )
        stated, place = np.unique(np.asarray(value.losses), return_inverse=True)
        table = tuple(_exact_loss(self.world, float(loss)) for loss in stated)
        return missed(np.asarray(value.estimates), place, table, self.accuracy)

    def claims(self, value: GameRecord) -> tuple[Claim | Withheld, ...]:
        floor = Claim(self.world.claim, float(value.no_go))
        if self.no_go() is None:
            if self.world.claim != "certify.no_go_family/1":
                reason = "too many samples to enumerate"
                floor = Withheld(self.world.claim, reason)
            else:
                parameters = {"draws": DRAWS, "key": int(value.key)}
                floor = Claim(SAMPLED, float(value.no_go), parameters=parameters)
        if value.estimates is None:
            return floor, Withheld(FAILS, "no game was played: see PlayGame")
        count = int(np.sum(self.failures(value)))
        delta = 1 - self.confidence
        promised = one_sided_lower(count, self.rounds, delta) * (1 - _SAFE)
        return floor, Claim(FAILS, promised)

    def candidate(self, *, estimates: Any, key: int = 0) -> GameRecord:
        """What a measure said elsewhere in the rounds of the stream with this key.

        **Raises:** `InvalidArgument`.
        """
        found = array64(estimates)
        if np.shape(found) != (self.rounds,):
            expected = f"one number for each of {self.rounds} rounds"
            raise InvalidArgument("candidate.estimates", expected, np.shape(found))
        rounds = self.world.rounds(key, 0, self.rounds)
        losses = np.array([float(loss) for loss in rounds.losses])[rounds.place]
        floor = np.asarray(self.stated_no_go(key))
        stamp = np.asarray(key, dtype=np.int64)
        return GameRecord(floor, stamp, found, losses, rounds.world)

    def value_from(self, arrays: dict[str, np.ndarray]) -> GameRecord:
        return GameRecord(**arrays)

    def default_method(self) -> Any:
        from ._game_methods import ExactNoGo, PlayGame

        unknown = isinstance(self.measure, UnknownMeasure)
        return ExactNoGo() if unknown else PlayGame()


def _exact_loss(world: AbstractWorld, loss: float) -> Fraction:
    """The loss that a float stands for: the one of this world that rounds to it."""
    if world.name == "random_labelling":
        points = world.judged().points
        return Fraction(round(loss * points), points)
    if world.name == "linear_over_field":
        order = world.judged().order
        return Fraction(round(loss * order), order)
    table, _ = world.judged().loss_table()
    return min(table, key=lambda exact: abs(float(exact) - loss))


def frequency(problem: GeneralizationGame, value: GameRecord) -> dict[str, float]:
    """Share of failed rounds, on average and by world."""
    failed, worlds = problem.failures(value), np.asarray(value.worlds)
    by_world = {f"world {w}": float(np.mean(failed[worlds == w])) for w in set(worlds)}
    return {"average": float(np.mean(failed))} | by_world


def standard_error(share: float, rounds: int) -> float:
    """Of a frequency."""
    return math.sqrt(max(share * (1 - share), 1 / rounds) / rounds)
