"""The method: the paper's orderings, forests, finite termination, refusals."""

import itertools

import equinox as eqx
import jax
import numpy as np
import pytest
from scipy.sparse.linalg import spsolve
from tests.optimize.instances_blocks import labelled_lattice, sparse_regression

import lemmata as lm
from lemmata.core import InvalidMethod, run
from lemmata.optimize import (
    GS,
    GSD,
    GSL,
    GSQ,
    L1,
    AveragedBlocks,
    BacktrackingUpdate,
    BlockCoordinateDescent,
    CompositeProblem,
    CyclicSelection,
    ExactUpdate,
    GivenBlocks,
    GradientUpdate,
    GreedyForest,
    LeastSquares,
    LipschitzSampling,
    Logistic,
    MatrixUpdate,
    MaximumImprovement,
    NewtonUpdate,
    NonNegativeL1,
    OrderedBlocks,
    ProximalGradientUpdate,
    ProximalNewtonUpdate,
    Quadratic,
    RandomSelection,
    RedBlackBlocks,
    RowSumAveragedBlocks,
    RowSumSortedBlocks,
    Softmax,
    SortedBlocks,
    TreePartition,
    TwoMetricUpdate,
    VariableBlocks,
    lattice_combs,
    validity_table,
)
from lemmata.optimize._block_rules import objection

PARTITIONS = (
    OrderedBlocks(3),
    SortedBlocks(3),
    AveragedBlocks(3),
    RowSumSortedBlocks(3),
    RowSumAveragedBlocks(3),
    GivenBlocks([[0, 4], [1, 2, 3, 5, 6], [7, 8, 9, 10, 11]]),
    VariableBlocks(3),
    RedBlackBlocks(),
    TreePartition(),
    GreedyForest(),
)
SELECTIONS = (
    RandomSelection(),
    CyclicSelection(),
    LipschitzSampling(),
    GS(),
    GSL(),
    GSD(),
    GSQ(),
    MaximumImprovement(),
)
UPDATES = (
    GradientUpdate(),
    BacktrackingUpdate(),
    MatrixUpdate(),
    NewtonUpdate(),
    ExactUpdate(),
    ProximalGradientUpdate(),
    ProximalNewtonUpdate(),
    TwoMetricUpdate(),
)
SMOOTH = Quadratic(*labelled_lattice(4, 4, 4, 0)[:2])
# Every partition, selection and update once; all of them are tried by the slow test.
SAMPLE = (
    (OrderedBlocks(3), CyclicSelection(), GradientUpdate()),
    (SortedBlocks(3), GSQ(), MatrixUpdate()),
    (AveragedBlocks(3), LipschitzSampling(), ExactUpdate()),
    (RowSumSortedBlocks(3), GS(), BacktrackingUpdate()),
    (RowSumAveragedBlocks(3), GSL(), NewtonUpdate()),
    (PARTITIONS[5], GSD(), ProximalGradientUpdate()),
    (VariableBlocks(3), MaximumImprovement(), ProximalNewtonUpdate()),
    (VariableBlocks(3), RandomSelection(), TwoMetricUpdate()),
    (RedBlackBlocks(), GSD(), MatrixUpdate()),
    (TreePartition(), GSQ(), MatrixUpdate()),
    (GreedyForest(), GS(), ExactUpdate()),
)


def reaches_the_minimum(partition, select, update, penalty=None, steps=3000):
    problem = CompositeProblem(SMOOTH, penalty, gap_tol=1e-6)
    method = BlockCoordinateDescent(partition, select, update, record=0)
    found = lm.solve(problem, method, max_steps=steps, throw=False)
    assert found.result.name == "converged", str(found)
    assert found.certificate["value_enclosure"].holds
    return found


@pytest.mark.parametrize(("partition", "select", "update"), SAMPLE)
def test_combinations_reach_the_minimum(partition, select, update):
    found = reaches_the_minimum(partition, select, update)
    h, b = labelled_lattice(4, 4, 4, 0)[:2]
    best = spsolve(h.tocsc(), b)
    # a relative gap of 1e-6 and condition numbers below 100
    np.testing.assert_allclose(
        found.value.coefficients, best, atol=0.03 * np.abs(best).max()
    )


@pytest.mark.slow
@pytest.mark.parametrize("composite", [False, True])
@pytest.mark.parametrize("partition", PARTITIONS)
def test_all_valid_combinations(partition, composite):
    penalty = L1(0.5) if composite else None
    tried = 0
    for select, update in itertools.product(SELECTIONS, UPDATES):
        if objection(partition, select, update, composite=composite) is None:
            reaches_the_minimum(partition, select, update, penalty)
            tried += 1
    jax.clear_caches()  # hundreds of executables exhaust the process's mappings
    assert tried > 0 or (composite and isinstance(partition, GreedyForest))


def test_the_table_states_what_is_refused():
    rows = list(validity_table())
    assert len(rows) == 2 * 10 * 8 * 8
    for names, kinds in ((0, PARTITIONS), (1, SELECTIONS), (2, UPDATES)):
        assert {row[names] for row in rows} == {type(k).__name__ for k in kinds}
    made = {type(k).__name__: k for k in (*PARTITIONS, *SELECTIONS, *UPDATES)}
    refused = [row for row in rows if row[4] != "valid"]
    for partition, select, update, kind, verdict in refused[::37]:
        penalty = L1(1.0) if kind == "penalised" else None
        option = verdict.partition(":")[0]
        method = BlockCoordinateDescent(made[partition], made[select], made[update])
        with pytest.raises(InvalidMethod, match=rf"Descent\.{option}: "):
            lm.solve(CompositeProblem(SMOOTH, penalty), method)


@pytest.mark.parametrize(
    ("loss", "method", "message"),
    [
        (SMOOTH, BlockCoordinateDescent(VariableBlocks(13)), "at most the 12"),
        (
            Logistic(np.eye(12), np.ones(12), l2=1.0),
            BlockCoordinateDescent(VariableBlocks(3), GS(), ExactUpdate()),
            r"update: .*not quadratic",
        ),
        (
            Softmax(np.eye(12), np.arange(12.0) % 2, 2, l2=1.0),
            BlockCoordinateDescent(TreePartition(), GS(), MatrixUpdate()),
            r"partition: .*Softmax",
        ),
    ],
)
def test_losses_that_do_not_fit(loss, method, message):
    with pytest.raises(InvalidMethod, match=message):
        lm.solve(CompositeProblem(loss), method)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refresh": 0}, r"refresh: .*>= 1"),
        ({"record": -1}, r"record: .*>= 0"),
        ({"whole_support": -2}, r"whole_support"),
        ({"residual_rtol": 0.0}, r"residual_rtol: .*> 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidMethod, match=message):
        BlockCoordinateDescent(**options)


@eqx.filter_jit
def _after(problem, method, steps):
    return run(problem, method, max_steps=steps)[0].coefficients


def gaps(rules, steps=500):
    design, target = sparse_regression()
    problem = CompositeProblem(LeastSquares(design, target), gap_tol=1e-18)
    start = 0.5 * target @ target  # the minimum is 0: more columns than rows
    out = {}
    for rule in rules:
        method = BlockCoordinateDescent(VariableBlocks(5), rule, MatrixUpdate())
        with jax.enable_x64(True):
            x = np.asarray(_after(problem, method, steps))
        out[type(rule).__name__] = 0.5 * np.sum((design @ x - target) ** 2) / start
    return out


def test_greedy_rules_beat_random_ones():
    """The paper's ordering, with margins."""
    found = gaps([RandomSelection(), GS(), GSL(), GSD(), GSQ()])
    for rule in ("GSL", "GSD", "GSQ"):
        assert found[rule] <= 0.1 * found["GS"]
        assert found[rule] <= 0.01 * found["RandomSelection"]


def steps_to_the_end(update, size):
    design, target = sparse_regression()
    strength = 0.15 * np.max(design.T @ target)
    rtol = 1e-12 * strength / np.max(design.T @ target - strength)
    problem = CompositeProblem(LeastSquares(design, target), NonNegativeL1(strength))
    method = BlockCoordinateDescent(
        VariableBlocks(size), GSD(), update, residual_rtol=rtol
    )
    found = lm.solve(problem, method, max_steps=400)
    assert np.count_nonzero(found.value.coefficients) == 26
    return found


def test_blocks_larger_than_the_support_end_finitely():
    for update, most in ((TwoMetricUpdate(), 8), (ProximalNewtonUpdate(), 6)):
        found = steps_to_the_end(update, 50)
        assert found.stats.steps <= most
        assert found.certificate["finite_termination"].holds
        assert found.certificate["support"].holds


def test_small_blocks_take_their_time():
    assert 60 <= steps_to_the_end(TwoMetricUpdate(), 5).stats.steps <= 150


@pytest.mark.slow
def test_forests_on_the_papers_lattice():
    h, b, unknown = labelled_lattice(50, 50, 100, 0, weight=1e5)
    best = spsolve(h.tocsc(), b)
    floor = 0.5 * best @ (h @ best) - b @ best
    problem = CompositeProblem(Quadratic(h, b), gap_tol=1e-9)
    for partition in (GreedyForest(), TreePartition(lattice_combs(50, 50)[unknown])):
        method = BlockCoordinateDescent(partition, GS(), MatrixUpdate(), record=2)
        found = lm.solve(problem, method, max_steps=300, throw=False)
        objective = found.stats.trace["objective"]
        assert np.min(objective - floor) <= 1e-8 * -floor
        assert found.certificate["forest"].holds


def test_blocks_grow_with_the_support():
    design, target = sparse_regression(60, 100)
    strength = 0.02 * np.abs(design.T @ target).max()
    problem = CompositeProblem(LeastSquares(design, target), L1(strength))
    found = lm.solve(problem, BlockCoordinateDescent(VariableBlocks(8, largest=64)))
    assert found.stats.stages > 1
    assert found.stats.trace["size"][-1] > 8
    warm = lm.solve(problem, BlockCoordinateDescent(VariableBlocks(64)), start=found)
    assert warm.stats.steps <= 1


def test_blocks_that_hold_all_that_could_gain_stay_as_they_are():
    """The support ends above three quarters of the block; nothing else wants in."""
    rng = np.random.default_rng(20)
    design = rng.normal(size=(60, 40))
    design[:, 1:] += 0.9 * design[:, :1]
    target = design[:, :7] @ [3.0, -2, 2, 2, -2, 2, 2] + 0.1 * rng.normal(size=60)
    strength = 0.08 * np.abs(design.T @ target).max()
    problem = CompositeProblem(LeastSquares(design, target), L1(strength))
    found = lm.solve(problem, BlockCoordinateDescent(VariableBlocks(16, largest=39)))
    assert found.stats.trace["support"].tolist() == [8, 13, 14]
    assert found.stats.stages == 1
    assert found.certified


def test_zero_columns_stay_at_zero():
    design, target = sparse_regression(30, 20)
    design[:, 7] = 0.0
    for penalty, update in ((None, MatrixUpdate()), (L1(5.0), ProximalNewtonUpdate())):
        problem = CompositeProblem(LeastSquares(design, target), penalty)
        method = BlockCoordinateDescent(OrderedBlocks(4), GSL(), update)
        found = lm.solve(problem, method, throw=False)
        assert found.value.coefficients[7] == 0.0
        assert found.result.name == "converged"


def test_a_stall_says_what_to_do():
    design, target = sparse_regression(30, 20)
    problem = CompositeProblem(LeastSquares(design, target), L1(1.0))
    method = BlockCoordinateDescent(
        VariableBlocks(2), GS(), ProximalGradientUpdate(), residual_rtol=1e-30
    )
    found = lm.solve(problem, method, throw=False, max_steps=100_000)
    assert found.result.name == "stalled"
    assert "larger block" in found.result.sentence


def test_the_global_setting_is_left_alone():
    assert not jax.config.jax_enable_x64
