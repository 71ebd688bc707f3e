"""Audits, tables and logs: claims issued, withheld, refused where they must be."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

import lemmata as lm
from lemmata.linear import (
    SOR,
    BinnedTsallisINF,
    ChebCB,
    FixedRelaxation,
    LearnedRelaxation,
    MeasureCounts,
    PlayPolicy,
    RelaxationAudit,
    RelaxationTable,
    TsallisINF,
    relaxation_table,
    shifted_laplacian,
    square_laplacian,
)
from lemmata.linear._relaxation_audit import ordering
from lemmata_checker.case import Case, decide
from lemmata_checker.packed import digest

RHS = np.random.default_rng(0).normal(size=25)


def audit(shift=0.0, relaxation=(1.0, 1.4, 1.7), **options):
    matrix = square_laplacian(5) + shift * sp.eye_array(25)
    return RelaxationAudit(matrix, RHS, np.array(relaxation), **options)


@pytest.fixture(scope="module")
def measured():
    return lm.solve(audit())


def test_audit_certifies_all_three(measured):
    assert measured.certified
    issued = {d.id for d in measured.certificate.decisions}
    assert issued == {
        "linear.young_optimum/1",
        "linear.sor_surrogate/1",
        "linear.cg_bound/1",
    }
    radius = np.cos(np.pi / 6)
    best = 1 + (radius / (1 + np.sqrt(1 - radius**2))) ** 2
    assert float(measured.value.best_relaxation) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("name", ["sor_counts", "cg_counts"])
def test_forged_counts_are_refused(measured, name):
    counts = getattr(measured.value, name) - 3
    forged = dataclasses.replace(measured.value, **{name: counts})
    assert not lm.certify(measured.problem, forged).certified


def test_candidate_completes_young_figures(measured):
    value = measured.value
    candidate = measured.problem.candidate(
        sor_counts=value.sor_counts, cg_counts=value.cg_counts
    )
    assert lm.certify(measured.problem, candidate).certified


def test_nine_point_stencil_is_not_consistently_ordered():
    """Young's formula is withheld there, the bound on conjugate gradients is not."""
    line = sp.eye_array(4, k=1) + sp.eye_array(4, k=-1) + sp.eye_array(4)
    matrix = sp.csr_array(9.5 * sp.eye_array(16) - sp.kron(line, line))
    problem = RelaxationAudit(matrix, RHS[:16], [1.0, 1.3])
    solution = lm.solve(problem, MeasureCounts())
    withheld = {w.id for w in solution.certificate.withheld}
    assert withheld == {"linear.young_optimum/1", "linear.sor_surrogate/1"}
    assert solution.certified


def test_ordering_of_grids_and_of_their_red_black_form():
    matrix = square_laplacian(4)
    x, y = np.divmod(np.arange(16), 4)
    np.testing.assert_array_equal(
        ordering(matrix.indices, matrix.indptr, matrix.data), x + y
    )
    order = np.argsort((x + y) % 2, kind="stable")
    coloured = sp.csr_array(matrix[order][:, order])
    coloured.sort_indices()
    levels = ordering(coloured.indices, coloured.indptr, coloured.data)
    assert set(levels.tolist()) == {0, 1}


def test_audit_resumes(tmp_path, measured):
    limits = {"checkpoint": tmp_path / "run", "throw": False}
    lm.solve(audit(), max_steps=2, **limits)
    resumed = lm.solve(audit(), **limits)
    np.testing.assert_array_equal(resumed.value.sor_counts, measured.value.sor_counts)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-0.15, 0.0, 0.3])
def test_bounds_hold_on_the_papers_family(shift):
    """N = 100, twenty relaxations each."""
    matrix = square_laplacian(10) + shift * sp.eye_array(100)
    rhs = shifted_laplacian(1).rhs[0]
    solution = lm.solve(RelaxationAudit(matrix, rhs, np.linspace(1, 1.95, 20)))
    assert solution.certified
    tau = solution.certificate["sor_surrogate"].figures["tau"]
    assert 0.08 < tau < 0.25  # about 0.12, 0.17, 0.19 at the three shifts


STREAM = shifted_laplacian(40, side=3)


@pytest.fixture(scope="module")
def costs():
    return relaxation_table(STREAM, SOR(), 5)


def test_table_holds_what_solving_costs(costs):
    for arm in (0, 3):
        policy = FixedRelaxation(float(costs.relaxation[arm]))
        run = lm.solve(STREAM, LearnedRelaxation(SOR(), policy))
        np.testing.assert_array_equal(run.value.counts, costs.counts[:, arm])
    np.testing.assert_array_equal(costs.context, STREAM.contexts)
    expected = np.cos(np.pi / 4) * 4 / (4 + STREAM.contexts)
    np.testing.assert_allclose(costs.radius, expected, rtol=1e-13)
    packed = costs.pack()
    again = RelaxationTable.unpack(packed.json, packed.arrays)
    assert digest(again.pack()) == digest(packed)


def test_playing_the_table_is_solving_the_stream(costs):
    """The same key gives the same arms, whether systems are solved or looked up."""
    import jax

    with jax.enable_x64(True):
        key = jax.random.fold_in(jax.random.key(3), 0)
    run = lm.solve(STREAM, LearnedRelaxation(SOR(), TsallisINF(5)), key=key)
    played = lm.solve(costs, PlayPolicy(TsallisINF(5), trials=1), key=3, throw=False)
    np.testing.assert_array_equal(played.value.arms[0], run.stats.trace["arm"])


def test_regret_names_the_vacuous_bound(costs):
    solution = lm.solve(costs, PlayPolicy(TsallisINF(5, scale=float(costs.bound))))
    decision = solution.certificate["regret_fixed"]
    assert decision.holds
    assert "vacuous" in decision.detail
    assert solution.certificate.withheld[0].id == "linear.contextual/1"


def test_contextual_is_claimed_for_chebcb(costs):
    policy = ChebCB((-0.15, 0.45), arms=5, degree=3)
    solution = lm.solve(costs, PlayPolicy(policy, trials=2, window=10), throw=False)
    assert "contextual" in solution.certificate


@pytest.mark.parametrize(
    "policy",
    [TsallisINF(5), TsallisINF(5, scale=900.0), BinnedTsallisINF((-0.15, 0.45), 5, 3)],
    ids=["mean", "scale", "binned"],
)
def test_log_with_one_arm_changed_is_refused(policy):
    """Done when 6, on real runs: every round, the last one included."""
    solution = lm.solve(STREAM, LearnedRelaxation(SOR(), policy), key=5)
    (claim,) = [c for c in solution.certificate.claims if "ftrl" in c.id]
    case = Case(STREAM.pack(), {}, dict(claim.witness), dict(claim.parameters))
    assert decide(claim.id, claim.promised, case).holds
    for position in range(STREAM.length):
        arms = claim.witness["arms"].copy()
        arms[position] = (arms[position] + 1) % 5
        forged = Case(
            STREAM.pack(), {}, claim.witness | {"arms": arms}, dict(claim.parameters)
        )
        assert not decide(claim.id, claim.promised, forged).holds, position
