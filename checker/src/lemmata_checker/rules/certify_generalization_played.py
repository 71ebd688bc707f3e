"""Values of the built-in measures in a game, recomputed from the rounds."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..case import Case, Malformed
from .certify_generalization_draws import Rounds, distinct
from .certify_generalization_family import Family
from .certify_generalization_formulas import (
    compression,
    expected_walk,
    occam,
    seeger,
    vapnik,
)
from .certify_generalization_numbers import (
    binomial_upper_guess,
)
from .certify_generalization_worlds import Labelling, Linear

World = Labelling | Linear | Family
CUSTOM = "custom"


def stated_values(
    case: Case, world: World, rounds: Rounds, key: int, start: int
) -> np.ndarray | None:
    """What the problem's measure says in each round, (R,); None for a function.

    **Raises:** `Malformed` for an unknown measure, or one without a meaning here.
    """
    record = case.problem.json.get("measure")
    name = record.get("name") if isinstance(record, dict) else None
    if name == CUSTOM:
        return None
    if name not in _VALUES:
        raise Malformed(f"measure.name: unknown {name!r}")
    assert isinstance(record, dict)
    return _VALUES[name](record, world, rounds, key, start)


def option(record: Mapping[str, Any], name: str, low: float, high: float) -> float:
    """A number of a measure's record, within open bounds. Raises `Malformed`."""
    found: Any = record.get(name)
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if not number or not low < found < high:
        got = repr(found)
        raise Malformed(f"measure.{name}: expected in ({low}, {high}), got {got}")
    return float(found)


def delta_of(record: Mapping[str, Any]) -> float:
    """The failure probability that a measure allows itself."""
    return option(record, "delta", 0, 1)


def _each(values: np.ndarray, function: Callable[[float], float]) -> np.ndarray:
    """A function of few distinct values."""
    distinct_values, place = np.unique(values, return_inverse=True)
    return np.array([function(float(v)) for v in distinct_values])[place]


def _constant(record, world, rounds, key, start) -> np.ndarray:
    value = option(record, "value", -1e300, 1e300)
    return np.full(len(rounds.world), value)


def _unseen(record, world, rounds, key, start) -> np.ndarray:
    _on_points(world)
    share = option(record, "share", -1e300, 1e300)
    return share * (world.points - distinct(rounds.points)) / world.points


def _occam(record, world, rounds, key, start) -> np.ndarray:
    value = occam(0.0, world.log_size, world.samples, delta_of(record))
    return np.full(len(rounds.world), value)


def _vc(record, world, rounds, key, start) -> np.ndarray:
    if world.dimension is None:
        raise Malformed("the VC bound is for two labels")
    value = vapnik(0.0, world.dimension, world.samples, delta_of(record))
    return np.full(len(rounds.world), value)


def _compression(record, world, rounds, key, start) -> np.ndarray:
    size, n, delta = record.get("size"), world.samples, delta_of(record)
    if size is None:
        _on_points(world)
        kept = distinct(rounds.points)
    else:
        kept = np.full(len(rounds.world), option(record, "size", -1, 2**31))
    return _each(kept, lambda k: compression(0, int(k), n, delta))


def _finite_pac_bayes(record, world, rounds, key, start) -> np.ndarray:
    n, delta = world.samples, delta_of(record)
    return _each(
        world.log_ratio(rounds), lambda kl: seeger(0.0, max(kl, 0.0), n, delta)
    )


def _finite_rademacher(record, world, rounds, key, start) -> np.ndarray:
    """Of all labellings of the points: (1/2n) sum_x E|walk of c_x steps|."""
    _on_points(world)
    n, delta = world.samples, delta_of(record)
    walk = np.array([float(expected_walk(c)) for c in range(n + 1)])
    counts = np.zeros((len(rounds.points), world.points), dtype=np.int64)
    np.add.at(counts, (np.arange(len(counts))[:, None], rounds.points), 1)
    complexity = walk[counts].sum(axis=1) / (2 * n)
    return 2 * complexity + 3 * math.sqrt(math.log(2 / delta) / (2 * n))


def _hold_out(record, world, rounds, key, start) -> np.ndarray:
    size = int(option(record, "fresh", 0, 100_000))
    errors, delta = world.fresh(rounds, key, start, size), delta_of(record)
    return _each(errors, lambda k: binomial_upper_guess(int(k), size, delta))


def _on_points(world: World) -> None:
    if isinstance(world, Linear):
        raise Malformed("this measure is for worlds of finitely many points")


_VALUES: dict[str, Callable[..., np.ndarray]] = {
    "constant": _constant,
    "unseen": _unseen,
    "occam": _occam,
    "vc": _vc,
    "compression": _compression,
    "finite_pac_bayes": _finite_pac_bayes,
    "finite_rademacher": _finite_rademacher,
    "hold_out": _hold_out,
}
