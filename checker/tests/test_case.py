"""One claim, decided: bad data never holds, and never raises."""

from dataclasses import replace

import numpy as np
import pytest

from lemmata_checker import (
    Case,
    Malformed,
    Measurement,
    Packed,
    Rule,
    check,
    decide,
)


def rule(relation, measurement):
    def measure(case):
        if isinstance(measurement, Exception):
            raise measurement
        return measurement

    return {"toy.any/1": Rule("toy.any/1", "proof", relation, "", "", measure)}


CASE = Case(Packed("toy.any/1", {}, {}))


@pytest.mark.parametrize(
    ("relation", "measurement", "promised", "holds"),
    [
        ("<=", Measurement(1.0), 1.0, True),
        ("<=", Measurement(1.0), 1, True),
        ("<=", Measurement(1.0), 0.5, False),
        (">=", Measurement(1.0), 1.0, True),
        (">=", Measurement(1.0), 1.5, False),
        ("<=", Measurement(0.0), float("inf"), False),
        (">=", Measurement(0.0), float("-inf"), False),
        ("<=", Measurement(float("-inf")), 0.0, False),
        (">=", Measurement(float("inf")), 0.0, False),
        ("<=", Measurement(float("nan")), 0.0, False),
        ("<=", Measurement(0.0), float("nan"), False),
        ("<=", Measurement(0.0), True, False),
        ("<=", Measurement(0.0), "1", False),
        ("<=", Measurement(0.0), None, False),
        ("<=", Measurement(0.0, assumptions={"a": "unchecked"}), 1.0, True),
        ("<=", Measurement(0.0, assumptions={"a": "violated"}), 1.0, False),
        # A margin that rounds to zero: 1 + u is not <= 1, and 0 margins hold.
        ("<=", Measurement(np.nextafter(1.0, 2.0)), 1.0, False),
        ("<=", Malformed("x: missing"), 1.0, False),
        ("<=", IndexError("surprise"), 1.0, False),
        ("<=", RuntimeWarning("surprise"), 1.0, False),
        ("<=", Measurement(10**400), 1.0, False),  # type: ignore[arg-type]
        ("<=", Measurement(None), 1.0, False),  # type: ignore[arg-type]
    ],
)
def test_decide(relation, measurement, promised, holds):
    decision = decide("toy.any/1", promised, CASE, rule(relation, measurement))
    assert decision.holds is holds


def test_shared_is_computed_once_per_certificate(toy_document, toy_rules):
    count = []

    def measure(case):
        return Measurement(case.shared("pass", lambda: count.append(1) or 0.0))

    rules = {n: replace(r, measure=measure) for n, r in toy_rules.items()}
    assert len(check(toy_document, rules=rules).decisions) == 2
    assert len(count) == 1
