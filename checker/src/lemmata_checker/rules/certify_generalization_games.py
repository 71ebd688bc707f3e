"""Claims about generalization games: what no measure can reach, and how one failed."""

import math
from fractions import Fraction

import numpy as np

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import float_down, float_up
from .certify_generalization_family import Family, family_floor
from .certify_generalization_numbers import (
    binomial_lower,
    corank_power,
    simple_linear_floor,
)
from .certify_generalization_played import stated_values
from .certify_generalization_worlds import (
    KIND,
    MOST_ROUNDS,
    Labelling,
    Linear,
    accuracy_of,
    integer,
    world_of,
)

CHUNK = 1024  # rounds drawn at once
CLOSE = 1e-9  # between a recorded value and a known measure's own, relative
UNIFORM = "words modulo m are uniform"


def _floor(case: Case, kind: type, measured: Fraction, figures: dict) -> Measurement:
    stated = case.value.get("no_go")
    if stated is None or stated.shape != () or stated.dtype != np.float64:
        raise Malformed("no_go: expected one float64")
    right = math.isfinite(stated) and Fraction(float(stated)) <= measured
    return Measurement(
        float_down(measured),
        figures=figures,
        assumptions={"stated floor": "checked" if right else "violated"},
    )


def no_go_vc(case: Case) -> Measurement:
    """q(d, n, eps), from exact fractions."""
    world = world_of(case)
    if not isinstance(world, Labelling):
        raise Malformed("a claim about random labellings")
    found = world.floor(accuracy_of(case))
    return _floor(case, Labelling, found, {"points": float(world.points)})


def no_go_linear(case: Case) -> Measurement:
    """The least failure on average over the worlds, from exact rank laws."""
    world = world_of(case)
    if not isinstance(world, Linear):
        raise Malformed("a claim about linear functions over a field")
    q, n, d = world.order, world.samples, world.points
    accuracy = accuracy_of(case)
    figures = {"P(loss 0) in world 0": float(corank_power(q, n))}
    if world.levels == 1 and 2 * accuracy <= 1 - Fraction(1, q):
        figures["by opposing masses alone"] = float(simple_linear_floor(q, n, d))
    return _floor(case, Linear, world.floor(accuracy), figures)


def _family(case: Case) -> Family:
    world = world_of(case)
    if not isinstance(world, Family):
        raise Malformed("a claim about a finite family")
    return world


def _exact_family(case: Case) -> tuple[Fraction, Fraction]:
    return case.shared(
        "generalization: family floor",
        lambda: family_floor(_family(case), accuracy_of(case)),
    )


def no_go_family(case: Case) -> Measurement:
    """Overlapping mass of the two worlds over all samples."""
    if _family(case).groups is not None:
        raise Malformed("with sub-families the claim is no_go_algorithm")
    found = _floor(case, Family, _exact_family(case)[0], {})
    found.assumptions["realizable"] = "checked"
    return found


def no_go_algorithm(case: Case) -> Measurement:
    """The same for samples alone and one algorithm."""
    if _family(case).groups is None:
        raise Malformed("expected sub-families succeeds and fails")
    floor, variation = _exact_family(case)
    return _floor(case, Family, floor, {"total variation": float(variation)})


def no_go_sampled(case: Case) -> Measurement:
    """Half a lower confidence bound on P(a posterior sample is far off)."""
    family = _family(case)
    if family.groups is not None:
        raise Malformed("for the game on (S, h) alone")
    draws = integer(case.parameters.get("draws"), "draws", 1, MOST_ROUNDS)
    key = integer(case.parameters.get("key"), "key", 0, 2**63 - 1)
    delta, width = _delta(case), 2 * accuracy_of(case)
    far = total = 0
    for start in range(0, draws, CHUNK):
        rounds = family.draw(key, start, min(start + CHUNK, draws))
        one = rounds.world == 1
        apart = np.array([loss >= width for loss in rounds.losses])
        far += int(np.sum(apart[rounds.place[one]]))
        total += int(np.sum(one))
    low = binomial_lower(far, total, delta) / 2
    found = _floor(case, Family, Fraction(low), {"far": float(far), "of": float(total)})
    found.assumptions |= {"realizable": "checked", UNIFORM: "unchecked"}
    return found


def _delta(case: Case) -> float:
    confidence = case.problem.json.get("confidence")
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise Malformed(f"confidence: expected a number in (0, 1), got {confidence!r}")
    return math.nextafter(1 - confidence, 0)


def measure_fails(case: Case) -> Measurement:
    """Failures counted again: worlds, losses and known measures are drawn again."""
    world, accuracy = world_of(case), accuracy_of(case)
    count = integer(case.problem.json.get("rounds"), "rounds", 1, MOST_ROUNDS)
    played, key = _played(case, count)
    wrong, tally, known = {"losses": 0, "worlds": 0, "values": 0}, {}, True
    for start in range(0, count, CHUNK):
        stop = min(start + CHUNK, count)
        rounds = world.draw(key, start, stop)
        part = {name: array[start:stop] for name, array in played.items()}
        exact = np.array([float(loss) for loss in rounds.losses])[rounds.place]
        wrong["losses"] += int(np.sum(part["losses"] != exact))
        wrong["worlds"] += int(np.sum(part["worlds"] != rounds.world))
        own = stated_values(case, world, rounds, key, start)
        if own is None:
            known = False
        else:
            away = np.abs(part["estimates"] - own) > CLOSE * (1 + np.abs(own))
            wrong["values"] += int(np.sum(away))
        failed = missed(part["estimates"], rounds.place, rounds.losses, accuracy)
        for w in np.unique(rounds.world):
            here = rounds.world == w
            before = tally.get(int(w), (0, 0))
            tally[int(w)] = (
                before[0] + int(np.sum(failed[here])),
                before[1] + int(np.sum(here)),
            )
    return _counted(tally, wrong, known, count, _delta(case))


def _played(case: Case, count: int) -> tuple[dict[str, np.ndarray], int]:
    """The recorded rounds, and the key of their stream. Raises `Malformed`."""
    played = {}
    for name, code in (("estimates", "<f8"), ("losses", "<f8"), ("worlds", "<i8")):
        array = case.value.get(name)
        if array is None or array.shape != (count,) or array.dtype.str != code:
            raise Malformed(f"{name}: expected {code} of shape ({count},)")
        played[name] = array
    if not np.all(np.isfinite(played["estimates"])):
        raise Malformed("estimates: expected finite numbers")
    key = case.value.get("key")
    if key is None or key.shape != () or key.dtype != np.int64:
        raise Malformed("key: expected one int64")
    return played, integer(int(key), "key", 0, 2**63 - 1)


def _counted(
    tally: dict[int, tuple[int, int]],
    wrong: dict[str, int],
    known: bool,
    count: int,
    delta: float,
) -> Measurement:
    failures = sum(f for f, _ in tally.values())
    figures = {"failures": float(failures), "frequency": failures / count}
    figures |= {f"world {w}": f / n for w, (f, n) in sorted(tally.items())}
    assumptions = {
        f"recorded {name}": "violated" if bad else "checked"
        for name, bad in wrong.items()
    }
    if not known:
        assumptions["recorded values"] = "unchecked"  # a function that did not travel
    assumptions["the key was not chosen to suit"] = "unchecked"
    assumptions[UNIFORM] = "unchecked"
    bad = ", ".join(f"{n} {name}" for name, n in wrong.items() if n)
    detail = f"not what the key gives: {bad}" if bad else ""
    low = binomial_lower(failures, count, delta)
    return Measurement(low, detail, figures, assumptions)


def missed(
    estimates: np.ndarray,
    index: np.ndarray,
    losses: tuple[Fraction, ...],
    accuracy: Fraction,
) -> np.ndarray:
    """|E - L| >= eps, decided as between real numbers, (R,)."""
    above = np.array([float_up(loss + accuracy) for loss in losses])
    below = np.array([float_down(loss - accuracy) for loss in losses])
    return (estimates >= above[index]) | (estimates <= below[index])


def _rule(name: str, grade, statement: str, measure, unit: str = "") -> Rule:
    return Rule(f"certify.{name}/1", grade, ">=", statement, unit, measure, (KIND,))


_PROBABILITY = "probability"
RULES = (
    _rule(
        "no_go_vc",
        "proof",
        "every function of sample and hypothesis misses the loss by eps or more with "
        "probability >= promised, on average over the oracle and a random consistent "
        "answer on random labellings, so in one of them",
        no_go_vc,
        _PROBABILITY,
    ),
    _rule(
        "no_go_linear",
        "proof",
        "every function of the sample misses the loss of the algorithm biased to the "
        "nested subspaces by eps or more with probability >= promised, on average over "
        "truths drawn from them, so for one of them",
        no_go_linear,
        _PROBABILITY,
    ),
    _rule(
        "no_go_family",
        "proof",
        "every function of sample and hypothesis misses the loss by eps or more with "
        "probability >= promised, on average over the oracle and a posterior sample on "
        "this family, so in one of them",
        no_go_family,
        _PROBABILITY,
    ),
    _rule(
        "no_go_algorithm",
        "proof",
        "every function of the sample misses the loss of the algorithm that answers "
        "the first labelling that fits by eps or more with probability >= promised, on "
        "average over the two sub-families, so on one of them",
        no_go_algorithm,
        _PROBABILITY,
    ),
    _rule(
        "no_go_family_sampled",
        "confidence",
        "every function of sample and hypothesis misses the loss by eps or more with "
        "probability >= promised, on average over the oracle and a posterior sample on "
        "this family, so in one of them",
        no_go_sampled,
        _PROBABILITY,
    ),
    _rule(
        "measure_fails",
        "confidence",
        "this measure misses the loss by eps or more with probability >= promised, on "
        "average over the worlds of the game, so in one of them",
        measure_fails,
        _PROBABILITY,
    ),
)
