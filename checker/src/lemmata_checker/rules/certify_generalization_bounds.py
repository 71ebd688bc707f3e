"""Claims about the measures and bounds of a trained model."""

import math
from fractions import Fraction
from typing import Any

from ..case import Case, Malformed, Measurement, Rule
from ..rigor import float_down
from .certify_generalization_measures import (
    BOUNDS,
    CAPACITIES,
    CONTROL,
    GIBBS,
    figure,
    records,
    value_array,
)
from .certify_generalization_models import KIND, margins
from .certify_generalization_numbers import binomial_lower, binomial_upper


def _confidence(case: Case) -> float:
    found = case.problem.json.get("confidence")
    if not isinstance(found, float) or not 0 < found < 1:
        raise Malformed(f"confidence: expected a number in (0, 1), got {found!r}")
    return found


def _interval(case: Case) -> tuple[float, float]:
    """Clopper and Pearson's bounds on the risk, each side with half of the rest."""

    def compute() -> tuple[float, float]:
        found = margins(case, "test")
        if found is None:
            raise Malformed("test_inputs and test_labels: missing")
        n, alpha = len(found.low), math.nextafter((1 - _confidence(case)) / 2, 0)
        low = binomial_lower(found.fewest(), n, alpha)
        return low, binomial_upper(found.errors(), n, alpha)

    return case.shared("generalization: risk", compute)


def _stated(case: Case) -> list[tuple[dict[str, Any], float]]:
    """Records of the known measures with their stated values."""
    known = records(case)
    values = value_array(case, "values", (len(known),))
    return list(zip(known, values.tolist(), strict=True))


def bound_holds(case: Case) -> Measurement:
    """The largest ratio of a recomputed bound to the stated one."""
    worst, figures, assumed = 0.0, {}, {"i.i.d. sample": "unchecked"}
    held = margins(case, "test")
    for place, (record, stated) in enumerate(_stated(case)):
        name = record["name"]
        if name not in BOUNDS:
            continue
        found = figure(case, place)
        ratio = found.high / stated if stated > 0 else math.inf
        worst = max(worst, ratio)
        label = name if name not in figures else f"{name} [{place}]"
        figures[label] = stated
        assumed |= found.assumptions
        if held is not None and name not in GIBBS and name != CONTROL:
            low = _interval(case)[0]
            said = f"{label} not below the held-out risk"
            assumed[said] = "checked" if stated >= low else "violated"
    if not figures:
        raise Malformed("measures: expected at least one bound")
    vacuous = sum(value >= 1 for value in figures.values())
    detail = f"{vacuous} of {len(figures)} are vacuous: at least 1"
    return Measurement(worst * (1 + 1e-15), detail, figures, assumed)


def measure_values(case: Case) -> Measurement:
    """The largest relative distance of a stated capacity from its enclosure."""
    worst, figures = 0.0, {}
    for place, (record, stated) in enumerate(_stated(case)):
        name = record["name"]
        if name not in CAPACITIES:
            continue
        found = figure(case, place)
        away = max(found.high - stated, stated - found.low)
        worst = max(worst, away / found.low if found.low > 0 else math.inf)
        figures[name if name not in figures else f"{name} [{place}]"] = stated
    if not figures:
        raise Malformed("measures: expected at least one capacity")
    return Measurement(worst * (1 + 1e-15), figures=figures)


def test_risk(case: Case) -> Measurement:
    """Upper confidence bound on the risk, from the test errors counted again."""
    low, high = _interval(case)
    stated = value_array(case, "risk", (2,))
    found = margins(case, "test")
    assert found is not None
    figures = {"errors": float(found.errors()), "samples": float(len(found.low))}
    states = {
        "fresh test set": "unchecked",
        "stated lower end": "checked" if stated[0] <= low else "violated",
        "stated upper end": "checked" if stated[1] >= high else "violated",
    }
    return Measurement(high, figures=figures | {"lower end": low}, assumptions=states)


def bound_gap(case: Case) -> Measurement:
    """The smallest of bound - risk over the bounds from training data alone."""
    high = _interval(case)[1]
    gaps = {
        (record["name"], place): Fraction(stated) - Fraction(high)
        for place, (record, stated) in enumerate(_stated(case))
        if record["name"] in BOUNDS
        and record["name"] not in GIBBS
        and record["name"] != CONTROL
    }
    if not gaps:
        raise Malformed("measures: expected a bound from training data on the model")
    figures = {f"{name} [{place}]": float(gap) for (name, place), gap in gaps.items()}
    states = {"fresh test set": "unchecked"}
    return Measurement(float_down(min(gaps.values())), "", figures, states)


def _rule(name: str, grade, relation, statement: str, measure, unit="") -> Rule:
    return Rule(f"certify.{name}/1", grade, relation, statement, unit, measure, (KIND,))


RULES = (
    _rule(
        "bound_holds",
        "confidence",
        "<=",
        "each stated bound, times promised, is at least its formula at this model and "
        "sample, and so at least the risk (for PAC-Bayes: of the stochastic "
        "classifier), each but for a chance of its deltas",
        bound_holds,
    ),
    _rule(
        "measure_values",
        "proof",
        "<=",
        "each stated capacity, a measure whose constant is unknown and so no bound, is "
        "right to promised, relatively",
        measure_values,
    ),
    _rule(
        "test_risk",
        "confidence",
        "<=",
        "the risk is <= promised, by the errors on the test set",
        test_risk,
        "0-1 loss",
    ),
    _rule(
        "bound_gap",
        "confidence",
        ">=",
        "each bound of this list from training data alone exceeds the risk by >= "
        "promised",
        bound_gap,
        "0-1 loss",
    ),
)
