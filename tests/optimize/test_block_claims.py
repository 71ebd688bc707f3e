"""Claims about runs: issued where the theory speaks, else withheld with a reason."""

import numpy as np
import pytest
from tests.optimize.instances_blocks import labelled_lattice

import lemmata as lm
from lemmata.optimize import (
    GS,
    GSD,
    GSL,
    GSQ,
    L1,
    BacktrackingUpdate,
    BlockCoordinateDescent,
    CompositeProblem,
    CoordinateBound,
    GradientUpdate,
    GreedyForest,
    LeastSquares,
    MatrixUpdate,
    Quadratic,
    RowSumBound,
    SortedBlocks,
    VariableBlocks,
)

RNG = np.random.default_rng(0)
DESIGN = np.vstack([RNG.normal(size=(40, 30)), np.eye(30)])
TARGET = np.append(DESIGN[:40] @ RNG.normal(size=30), np.zeros(30))
RIDGE = LeastSquares(DESIGN, TARGET)


def solved(partition, select, update, penalty=None, **options):
    problem = CompositeProblem(RIDGE, penalty)
    method = BlockCoordinateDescent(partition, select, update, **options)
    return lm.solve(problem, method, throw=False).certificate


@pytest.mark.parametrize(
    ("partition", "select", "update"),
    [
        (SortedBlocks(5), GSQ(), MatrixUpdate()),
        (SortedBlocks(5), GSL(), GradientUpdate()),
        (VariableBlocks(5), GSD(RowSumBound()), MatrixUpdate()),
        (VariableBlocks(5), GSL(), MatrixUpdate()),
    ],
)
def test_the_rate_holds_where_the_theorem_speaks(partition, select, update):
    certificate = solved(partition, select, update)
    for name in ("progress", "linear_rate"):
        assert certificate[name].holds, str(certificate)
    figures = certificate["linear_rate"].figures
    assert 0 < figures["worst_ratio"] <= figures["factor"] < 1
    h = DESIGN.T @ DESIGN
    assert figures["pencil"] <= np.linalg.eigvalsh(h)[-1]
    assert ("rule_order" in certificate) == isinstance(partition, SortedBlocks)


@pytest.mark.slow
@pytest.mark.parametrize("select", [GSQ(), GSL(), GSD()])
def test_the_rate_on_a_hundred_blocks(select):
    rng = np.random.default_rng(1)
    design = np.vstack([rng.normal(size=(700, 500)), 3 * np.eye(500)])
    target = np.append(design[:700] @ rng.normal(size=500), np.zeros(500))
    problem = CompositeProblem(LeastSquares(design, target))
    method = BlockCoordinateDescent(SortedBlocks(5), select, MatrixUpdate())
    certificate = lm.solve(problem, method, max_steps=100, throw=False).certificate
    for name in ("progress", "linear_rate", "rule_order"):
        assert certificate[name].holds


@pytest.mark.parametrize(
    ("method", "claim", "reason"),
    [
        (
            BlockCoordinateDescent(VariableBlocks(5), GSQ(), MatrixUpdate()),
            "linear_rate",
            "needs GSQ",
        ),
        (
            BlockCoordinateDescent(
                VariableBlocks(5), GSD(CoordinateBound()), MatrixUpdate()
            ),
            "linear_rate",
            "valid D",
        ),
        (
            BlockCoordinateDescent(VariableBlocks(5), GS(), BacktrackingUpdate()),
            "progress",
            "no such bound",
        ),
        (
            BlockCoordinateDescent(SortedBlocks(5), GSL(), GradientUpdate(), record=0),
            "progress",
            "record=8",
        ),
    ],
)
def test_claims_are_withheld_with_a_reason(method, claim, reason):
    problem = CompositeProblem(RIDGE)
    certificate = lm.solve(problem, method, throw=False).certificate
    found = {w.id: w.reason for w in certificate.withheld}
    assert reason in found[f"optimize.{claim}/1"]


def test_support_claims():
    strength = 0.1 * np.abs(DESIGN.T @ TARGET).max()
    certificate = solved(
        VariableBlocks(6), GSD(), BlockCoordinateDescent().update, L1(strength)
    )
    found = certificate["active_set_complexity"]
    assert found.holds
    assert found.figures["delta"] > 0
    reasons = {w.id: w.reason for w in certificate.withheld}
    assert "residual_rtol" in reasons["optimize.finite_termination/1"]
    assert "penalty" in reasons["optimize.progress/1"]


def test_forests_are_claimed_and_forgeries_refused():
    h, b, _ = labelled_lattice(5, 5, 4, 1)
    problem = CompositeProblem(Quadratic(h, b))
    method = BlockCoordinateDescent(GreedyForest(), GS(), MatrixUpdate())
    solution = lm.solve(problem, method)
    claim = next(c for c in solution.certificate.claims if "forest" in c.id)
    assert solution.certificate["forest"].measured <= 1e-13
    from lemmata_checker.case import Case, decide

    def verdict(**changed):
        witness = {k: np.array(v) for k, v in claim.witness.items()} | changed
        case = Case(problem.pack(), solution.value.pack(), witness)
        return decide(claim.id, claim.promised, case)

    assert verdict().holds
    blocks, changes = (np.array(claim.witness[k]) for k in ("blocks", "changes"))
    every = np.broadcast_to(np.arange(21), blocks.shape).astype(np.int64)
    assert "no forest" in verdict(blocks=every).detail
    changes[0, 0] += 1e-6 * np.abs(changes).max()
    assert not verdict(changes=changes).holds
