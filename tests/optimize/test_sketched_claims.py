"""What runs claim of themselves: issued, withheld, and refused when forged."""

from dataclasses import replace

import numpy as np
import pytest

import lemmata as lm
from lemmata.core import Withheld
from lemmata.core._certificate import judge
from lemmata.optimize import ExactNewton, SketchedNewton, WeightedKaczmarz
from lemmata.optimize._newton_claims import local_rate_claim

from .newton_instances import control, hock

DESCENT, PROJECTION = "optimize.descent/1", "optimize.projection/1"
RATE = "optimize.local_rate/1"


def claim_of(solution, name):
    return next(c for c in solution.certificate.claims if c.id == name)


def reason(solution, name):
    return next(w.reason for w in solution.certificate.withheld if w.id == name)


def judged(solution, claim, **trace):
    found = judge(
        solution.problem, solution.value, [claim], {**solution.stats.trace, **trace}
    )
    return found.decisions[0]


@pytest.fixture(scope="module")
def solution():
    return lm.solve(control(tol=2e-8), SketchedNewton(sketch=WeightedKaczmarz()))


def test_all_claims_of_a_run_hold(solution):
    certificate = solution.certificate
    assert certificate["descent"].holds
    assert certificate["descent"].promised == 0
    assert certificate["projection"].holds
    # float64 projections, relative: far below what is promised
    assert certificate["projection"].measured < 1e-12
    assert "identity" in certificate["projection"].figures
    assert certificate["local_rate"].holds
    assert certificate["local_rate"].grade == "evidence"
    ratios = list(certificate["local_rate"].figures.values())
    assert ratios[-1] < ratios[-2]


def test_iterates_are_those_of_the_trace(solution):
    claim = claim_of(solution, DESCENT)
    assert claim.parameters["start"] == "problem"
    points = claim.witness["points"]
    assert len(points) == solution.stats.steps + 1
    assert np.array_equal(points[-1][:18], solution.value.x)
    assert np.array_equal(claim.witness["alphas"], solution.stats.trace["alpha"])
    assert np.array_equal(claim.witness["eta2"], solution.stats.trace["eta2"])


@pytest.mark.parametrize("place", [0, 2, 4])
def test_forged_iterates_are_refused(solution, place):
    claim = claim_of(solution, DESCENT)
    points = claim.witness["points"].copy()
    points[place, 3] += 1.0
    forged = replace(claim, witness={**claim.witness, "points": points})
    assert not judged(solution, forged).holds


def test_looser_rules_of_descent_are_refused(solution):
    """Penalties that the run did not use, or more descent than there was."""
    claim = claim_of(solution, DESCENT)
    assert judged(solution, claim).holds
    none = 1e-12 + 0 * claim.witness["eta1"]  # L itself, of which z is a saddle
    witness = {**claim.witness, "eta1": none, "eta2": none}
    assert not judged(solution, replace(claim, witness=witness)).holds
    strict = replace(claim, promised=claim.promised - 0.6)
    assert not judged(solution, strict).holds


@pytest.mark.parametrize("name", ["matrix", "rhs", "points", "sketches", "iterate"])
def test_forged_systems_are_refused(solution, name):
    claim = claim_of(solution, PROJECTION)
    array = claim.witness[name].copy()
    array = 1.001 * array if name != "sketches" else np.roll(array, 1, axis=1)
    forged = replace(claim, witness={**claim.witness, name: array})
    assert not judged(solution, forged).holds


def test_rate_of_another_run_is_refused(solution):
    claim = claim_of(solution, RATE)
    assert judged(solution, claim).holds
    other = np.geomspace(1.0, 1e-9, solution.stats.steps)
    assert not judged(solution, claim, residual=other).holds


def test_exact_newton_claims_descent_without_projections():
    found = lm.solve(hock("HS40"), ExactNewton())
    assert found.certificate["descent"].holds
    assert PROJECTION not in found.certificate


def test_a_run_that_was_not_recorded_claims_nothing():
    found = lm.solve(hock("HS40"), SketchedNewton(record=2))
    assert "raise the option record" in reason(found, DESCENT)
    assert found.certificate["projection"].holds  # of the first system
    assert found.certificate["kkt"].holds


def test_a_run_of_no_step_claims_nothing(solution):
    found = lm.solve(
        solution.problem, SketchedNewton(sketch=WeightedKaczmarz()), start=solution
    )
    assert reason(found, DESCENT) == "no step was accepted"
    assert "four residuals" in reason(found, RATE)


def test_rate_looks_at_full_unmodified_steps_alone():
    steps = 8
    trace = {
        "residual": 0.1 ** np.arange(1.0, steps + 1),
        "alpha": np.ones(steps),
        "modified": np.zeros(steps, bool),
        "theta": np.ones(steps),
        "delta": np.full(steps, 0.1),
    }
    whole = local_rate_claim(trace, False)
    np.testing.assert_array_equal(whole.witness["residual"], trace["residual"][-5:])
    assert whole.witness["accuracy"].shape == (4,)
    halved = trace | {"alpha": np.where(np.arange(steps) == 5, 0.5, 1.0)}
    part = local_rate_claim(halved, True)
    np.testing.assert_array_equal(part.witness["residual"], trace["residual"][5:])
    late = trace | {"modified": np.arange(steps) == 6}
    assert isinstance(local_rate_claim(late, True), Withheld)
    short = {name: values[:3] for name, values in trace.items()}
    assert isinstance(local_rate_claim(short, True), Withheld)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HS40", "HS79"])
def test_superlinear_runs_end_with_falling_ratios(name):
    for key in range(5):
        found = lm.solve(hock(name, 2e-8), SketchedNewton(), key=key)
        assert found.certificate["local_rate"].holds
        constant = lm.solve(
            hock(name, 2e-8), SketchedNewton(superlinear=False), key=key
        )
        assert RATE in constant.certificate or reason(constant, RATE)


def test_file_is_judged_without_lemmata(solution, tmp_path):
    from lemmata_checker.cli import main

    path = str(solution.save(tmp_path / "answer.lemma"))
    assert main([path]) == 0
    assert main([path, "--seed", "3", "--require", f"{DESCENT}<=0"]) == 0
