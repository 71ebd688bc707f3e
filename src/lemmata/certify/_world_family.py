"""Finite families of distributions as worlds of a game, and worlds by name."""

from fractions import Fraction
from typing import Any, ClassVar, final

import equinox as eqx
import numpy as np
from jaxtyping import Float64

from lemmata_checker.errors import Malformed
from lemmata_checker.rules import certify_generalization_family as families

from ..core import AnyArray, InvalidArgument, array64
from ._measure import Hypothesis
from ._world import (
    AbstractWorld,
    LinearOverField,
    RandomLabelling,
    demand,
    visible,
    whole,
)


@final
class FiniteFamily(AbstractWorld):
    """A finite family of distributions over finitely many points, drawn uniformly.

    One world's algorithm answers the labelling of the distribution drawn, the other's
    the labelling of a posterior sample. With `succeeds` and `fails` there is one
    algorithm instead, the first labelling of the family that fits the sample, and the
    worlds are the two sub-families (theorem 3); an estimate then sees the sample alone.

    **Fields:**

    - `distributions`: weights (k, points, labels) >= 0, each scaled to sum 1. At most
      one label has weight at each point: realizable.
    - `samples`: n >= 1.
    - `succeeds`, `fails`: indices of the members on which the algorithm does well and
      badly; both or none.

    **Raises:** `InvalidArgument`, with the index of what is not realizable.
    """

    distributions: Float64[AnyArray, "k points labels"] = eqx.field(converter=array64)
    samples: int = eqx.field(static=True)
    succeeds: tuple[int, ...] = eqx.field(static=True, default=(), converter=tuple)
    fails: tuple[int, ...] = eqx.field(static=True, default=(), converter=tuple)

    name: ClassVar[str] = "finite_family"

    def check(self) -> None:
        weights: Any = self.distributions
        good = getattr(weights, "dtype", None) == np.float64 and weights.ndim == 3
        expected = "(k, points, labels) numbers, k >= 1"
        demand(self, "distributions", good, expected, np.shape(weights))
        demand(self, "distributions", weights.size, expected, np.shape(weights))
        n = self.samples
        demand(self, "samples", whole(n) and n >= 1, "an integer >= 1", n)
        both = bool(self.succeeds) == bool(self.fails)
        demand(self, "succeeds", both, "both sub-families or none", self.succeeds)
        for field in ("succeeds", "fails"):
            indices, k = getattr(self, field), len(weights)
            inside = all(whole(i) and 0 <= i < k for i in indices)
            demand(self, field, inside, f"integers in [0, {k})", indices)
        try:
            self.judged()
        except Malformed as error:
            where, _, rest = str(error).partition(": expected ")
            wanted, _, got = rest.partition(", got ")
            where = f"FiniteFamily.{where}"
            raise InvalidArgument(where, wanted, got or "others") from error

    def judged(self) -> families.Family:
        weights = np.asarray(self.distributions)
        return families.Family(weights, self.samples, self.succeeds, self.fails)

    @property
    def claim(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of the game on samples and answers, or on samples alone."""
        return self.judged().claim

    def no_go(self, accuracy: Fraction) -> Fraction | None:
        world = self.judged()
        if world.multisets() * world.members > families.MOST_WORK:
            return None
        return families.family_floor(world, accuracy)[0]

    def record(self) -> dict[str, Any]:
        found: dict[str, Any] = {"name": self.name, "samples": self.samples}
        if self.succeeds:
            found |= {"succeeds": list(self.succeeds), "fails": list(self.fails)}
        return found

    def arrays(self) -> dict[str, np.ndarray]:
        return {"distributions": np.asarray(self.distributions)}

    def hypothesis(self, answer: np.ndarray) -> Hypothesis:
        world = self.judged()
        shown = None if self.succeeds else visible(answer)
        table = visible(world.labelling)
        return Hypothesis(
            shown, 0, world.points, world.log_size, world.dimension, table
        )


_WORLDS = {w.name: w for w in (RandomLabelling, LinearOverField, FiniteFamily)}


def world_of(record: Any, arrays: dict[str, np.ndarray]) -> AbstractWorld:
    """Inverse of `record` and `arrays`. Raises `InvalidArgument`."""
    name = record.get("name") if isinstance(record, dict) else None
    if name not in _WORLDS:
        expected = f"a record with the name of one of {', '.join(_WORLDS)}"
        raise InvalidArgument("GeneralizationGame.world", expected, record)
    options: dict[str, Any] = {k: v for k, v in record.items() if k != "name"}
    made: Any = _WORLDS[name]
    try:
        return made(**arrays, **options)
    except TypeError as error:
        got = ", ".join([*arrays, *options])
        where = f"GeneralizationGame.world ({name})"
        raise InvalidArgument(where, "the fields of that world", got) from error
