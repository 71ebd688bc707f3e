"""Which claims matrix sensing makes, which it withholds and why, and wrong answers."""

from typing import ClassVar, final

import numpy as np
import pytest
from tests.optimize.sensing_instances import population, semidefinite

import lemmata as lm
from lemmata.core import InvalidArgument, InvalidProblem
from lemmata.optimize import (
    AbstractStart,
    AcceleratedAsymmetricGradientDescent,
    AsymmetricGradientDescent,
    FourierOperator,
    GaussianOperator,
    IdentityOperator,
    LowRank,
    MaskOperator,
    MatrixSensing,
    Planted,
    SmallRandomStart,
    SymmetricGradientDescent,
    symmetric_lower_bound,
)
from lemmata.optimize._factored_descent import AbstractFactoredDescent

N, SIGMA = 12, (1.0, 0.4)
GAUSSIAN = GaussianOperator((N, N), 120, key=6)


def names(solution) -> dict[str, str]:
    """Claim's bare name to "holds", "fails" or the reason why it is withheld."""
    certificate = solution.certificate
    found = {w.id: w.reason for w in certificate.withheld}
    found |= {d.id: "holds" if d.holds else "fails" for d in certificate.decisions}
    return {k.removeprefix("optimize.").removesuffix("/1"): v for k, v in found.items()}


@final
class InTurn(AbstractFactoredDescent):
    """The wrong variant: R moves with the new L."""

    advice: ClassVar[str] = ""
    width: int
    step_size: float | None = None
    start: AbstractStart = SmallRandomStart()
    check_every: int = 10
    patience: int = 1024

    def is_symmetric(self):
        return False

    def default_step(self, problem):
        return 0.2

    def move(self, problem, length, factors, slope):
        left, right = factors
        left = left - length * (slope @ right)
        return left, right - length * (slope.T @ left)


@final
class Backwards(AbstractFactoredDescent):
    """The wrong sign of one factor's step."""

    advice: ClassVar[str] = ""
    width: int
    step_size: float | None = None
    start: AbstractStart = SmallRandomStart()
    check_every: int = 10
    patience: int = 1024

    def is_symmetric(self):
        return False

    def default_step(self, problem):
        return 0.2

    def move(self, problem, length, factors, slope):
        left, right = factors
        return left - length * (slope @ right), right + length * (slope.T @ left)


def test_the_planted_population_gets_every_claim_that_applies():
    problem = population(N, SIGMA)
    symmetric = lm.solve(problem, SymmetricGradientDescent(4), throw=False)
    found = names(symmetric)
    for claim in ("rank_floor", "symmetric_lower_bound", "observed_isometry"):
        assert found[claim] == "holds"
    assert found["measurement_residual"] == found["recovery"] == "fails"
    assert "not the rank 2" in found["exact_parameterisation"]
    exact = names(lm.solve(problem, SymmetricGradientDescent(2, check_every=4)))
    assert exact["exact_parameterisation"] == "holds"
    assert "width above the rank 2" in exact["symmetric_lower_bound"]
    assert "rank 2" in exact["rank_floor"]
    start = SmallRandomStart(scale=0.06)
    plain = names(lm.solve(problem, AsymmetricGradientDescent(4, start=start)))
    for claim in ("imbalance", "imbalance_drift", "linear_rate_of_factors", "recovery"):
        assert plain[claim] == "holds"
    both = names(lm.solve(problem, AsymmetricGradientDescent(2, check_every=4)))
    assert both["exact_parameterisation"] == "holds"


def test_users_data_get_residual_based_claims_and_reasons_for_the_rest():
    truth = semidefinite(N, SIGMA)
    y = np.asarray(GAUSSIAN.stored) @ truth.matrix().reshape(-1)
    solution = lm.solve(MatrixSensing(GAUSSIAN, y))
    found = names(solution)
    assert set(found) == {
        "measurement_residual",
        "recovery",
        "held_out_error",
        "imbalance",
        "imbalance_drift",
        "acceleration",
        "exact_parameterisation",
    }
    assert "determine a matrix only by its rank" in found["recovery"]
    assert "no planted truth" in found["exact_parameterisation"]
    assert "held_out=" in found["held_out_error"]
    symmetric = MatrixSensing(GAUSSIAN, y, psd=True)
    slow = names(lm.solve(symmetric, SymmetricGradientDescent(4), throw=False))
    assert "Planted" in slow["symmetric_lower_bound"]
    sensed = Planted.of(GAUSSIAN, truth, psd=True)
    slow = names(lm.solve(sensed, SymmetricGradientDescent(4), throw=False))
    assert "IdentityOperator" in slow["symmetric_lower_bound"]


@pytest.mark.parametrize("wrong", [InTurn, Backwards])
def test_wrong_updates_are_found_out(wrong):
    """One variant converges, the other diverges; neither keeps the identity."""
    solution = lm.solve(population(N, SIGMA), wrong(3), max_steps=60, throw=False)
    assert names(solution)["imbalance"] == "fails"
    right = AsymmetricGradientDescent(3)
    solution = lm.solve(population(N, SIGMA), right, max_steps=60, throw=False)
    assert names(solution)["imbalance"] == "holds"


def test_foreign_answers_are_judged_alike():
    truth = semidefinite(N, SIGMA)
    problem = Planted.of(GAUSSIAN, truth, held_out=40)
    good = problem.candidate(matrix=truth.matrix())
    assert lm.certify(problem, good).certified
    wrong = problem.candidate(left=truth.left, right=1.001 * truth.right)
    judged = lm.certify(problem, wrong)
    assert names(judged)["measurement_residual"] == "fails"
    error = np.linalg.norm(wrong.matrix() - truth.matrix())
    assert error <= judged.certificate["held_out_error"].measured <= 4 * error
    for bad in (
        {"matrix": np.ones((3, 3))},
        {"left": np.ones((N, 2)), "right": np.ones((N, 3))},
        {},
        {"left": truth.left, "matrix": truth.matrix()},
    ):
        with pytest.raises(InvalidArgument, match="candidate"):
            problem.candidate(**bad)


def test_held_out_measurements_touch_no_method():
    truth = semidefinite(N, SIGMA)
    y = np.asarray(GAUSSIAN.stored) @ truth.matrix().reshape(-1)
    method = AcceleratedAsymmetricGradientDescent(3)
    spoilt = y.copy()
    spoilt[-30:] = -1.0
    one, two = (
        lm.solve(MatrixSensing(GAUSSIAN, v, held_out=30), method, throw=False)
        for v in (y, spoilt)
    )
    np.testing.assert_array_equal(one.value.left, two.value.left)
    bounds = [s.certificate["held_out_error"].measured for s in (one, two)]
    assert bounds[0] < 1e-8 < 0.1 < bounds[1]
    few = lm.certify(MatrixSensing(GAUSSIAN, y, held_out=5), one.value)
    assert "at least" in names(few)["held_out_error"]


def test_complete_measurements_prove_recovery():
    truth = LowRank.of(np.outer(np.arange(1.0, 6), np.arange(1.0, 5)))
    index = np.arange(20)
    for operator in (
        IdentityOperator((5, 4)),
        GaussianOperator((5, 4), 30, key=1),
        MaskOperator((5, 4), index // 4, index % 4),
        FourierOperator((5, 4), index // 4, index % 4),
    ):
        problem = Planted.of(operator, truth)
        near = problem.candidate(left=truth.left, right=truth.right * (1 + 1e-12))
        judged = lm.certify(problem, near)
        assert names(judged)["recovery"] == "holds", operator.name
        bound = judged.certificate["recovery"].measured
        assert np.linalg.norm(near.matrix() - truth.matrix()) <= bound


def test_completion_degrades_to_what_can_be_shown():
    """A spike that no entry saw: a small residual, a wrong answer, and said so."""
    rng = np.random.default_rng(0)
    index = rng.permutation(N * N)[:120]
    operator = MaskOperator((N, N), index // N, index % N)
    truth = semidefinite(N, SIGMA).matrix()
    unseen = np.setdiff1d(np.arange(N * N), index)[0]
    spiky = truth.copy()
    spiky[unseen // N, unseen % N] += 5.0
    problem = Planted.of(operator, spiky)
    found = names(lm.certify(problem, problem.candidate(matrix=truth)))
    assert found["measurement_residual"] == "holds"
    assert found["observed_isometry"] == "fails"
    assert "not all of the matrix" in found["recovery"]


def test_a_sublinear_answer_is_not_certified():
    """The same answer is good for a loose promise and not for a tight one."""
    loose = lm.solve(population(N, SIGMA, rtol=1e-2), SymmetricGradientDescent(4))
    assert loose.certified
    tight = lm.certify(population(N, SIGMA, rtol=1e-9), loose.value)
    assert names(tight)["measurement_residual"] == "fails"
    assert not tight.certified


def test_the_lower_bound_as_a_function_refuses_what_the_theorem_leaves_out():
    problem, rng = population(N, SIGMA), np.random.default_rng(0)
    start = 0.05 * rng.normal(size=(N, 4))
    bound = symmetric_lower_bound(problem, start, step_size=0.2, steps=1_000)
    u = np.linalg.svd(start, compute_uv=False)[-1] ** 2
    assert bound == pytest.approx(2 * (u / (1 + 600 * u)) ** 2)
    sensed = Planted.of(GAUSSIAN, semidefinite(N, SIGMA), psd=True)
    loose = Planted.of(IdentityOperator((N, N)), semidefinite(N, SIGMA))
    for bad, changed, message in (
        (problem.problem, start, "Planted"),
        (sensed, start, "IdentityOperator"),
        (loose, start, "psd=True"),
        (problem, start[:, :2], "above the rank 2"),
        (problem, 40 * start, r"\(0, 1/3\]"),
        (problem, np.zeros((N, 4)), "full rank"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            symmetric_lower_bound(bad, changed, step_size=0.2, steps=10)
    with pytest.raises(InvalidArgument, match="one step"):
        symmetric_lower_bound(problem, start, step_size=0.2, steps=0)


def test_truths_that_do_not_fit_are_refused():
    problem = population(N, SIGMA).problem
    factor = semidefinite(N, SIGMA).left
    for truth, message in (
        (LowRank(factor, -factor), "left = right"),
        (LowRank(factor[:-1], factor[:-1]), "shape"),
        (LowRank(2 * factor, 2 * factor), "measured"),
        (LowRank(np.full((N, 1), np.nan), np.full((N, 1), np.nan)), "finite"),
    ):
        with pytest.raises(InvalidProblem, match=rf"Planted\.truth: .*{message}"):
            Planted(problem, truth)


def test_files_are_decided_again_by_the_judge_alone(tmp_path):
    from lemmata_checker.document import read
    from lemmata_checker.report import check

    start = SmallRandomStart(scale=0.06)
    solution = lm.solve(population(N, SIGMA), AsymmetricGradientDescent(4, start=start))
    path = solution.save(tmp_path / "answer.lemma")
    report = check(read(path), seed=0)
    assert report.holds
    again = {d.id: d.measured for d in report.decisions}
    first = {d.id: d.measured for d in solution.certificate.decisions}
    # arrays lie elsewhere in memory, and BLAS sums in another order: e^2 cancels
    assert again == pytest.approx(first, rel=1e-6, abs=1e-12)
