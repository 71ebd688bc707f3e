"""Streams: counts against plain loops, outcomes, resumption, broken generators."""

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.linalg import solve_triangular

import lemmata as lm
from lemmata.linear import (
    SOR,
    SSOR,
    SSORPCG,
    Absolute,
    ChebCB,
    FixedRelaxation,
    InitialResidual,
    LearnedRelaxation,
    LinearSequence,
    RightHandSide,
    SequenceBroken,
    ShiftedSequence,
    TsallisINF,
    shifted_laplacian,
    solve_sequence,
    square_laplacian,
)
from lemmata.linear._relaxed_solve import SHARE
from lemmata_checker.packed import digest


def weighted(pattern: sp.csr_array, rng) -> sp.csr_array:
    """Random weights on a symmetric pattern, diagonally dominant, so definite."""
    upper = sp.triu(pattern, 1).tocsr()
    upper.data = rng.uniform(-1.0, 0.5, upper.nnz)
    off = sp.csr_array(upper + upper.T)
    total = np.abs(off).sum(axis=1)
    return sp.csr_array(off + sp.diags_array(total * rng.uniform(1.01, 1.5)))


def patterns(rng):
    grid = square_laplacian(4)
    line = sp.diags_array(np.ones(11), offsets=1, shape=(12, 12))
    nine = sp.kron(np.ones((3, 3)), np.ones((3, 3)))
    loose = sp.random_array((14, 14), density=0.2, rng=rng)
    return [grid, line + line.T, nine, loose + loose.T]


def plain_sor(matrix, rhs, relaxation, goal):
    """Triangular solves in the natural order, one row after another."""
    dense = matrix.toarray()
    lower = np.tril(dense, -1) + np.diag(dense.diagonal() / relaxation)
    x, count = np.zeros_like(rhs), 0
    while np.linalg.norm(rhs - dense @ x) > goal:
        x = x + solve_triangular(lower, rhs - dense @ x, lower=True)
        count += 1
    return x, count


def preconditioner(matrix, w):
    dense = matrix.toarray()
    x = np.diag(dense.diagonal()) + w * np.tril(dense, -1)
    return x @ np.diag(1 / dense.diagonal()) @ x.T / (w * (2 - w))


def plain_ssor(matrix, rhs, relaxation, goal):
    p = preconditioner(matrix, relaxation)
    x, count = np.zeros_like(rhs), 0
    while np.linalg.norm(rhs - matrix @ x) > goal:
        x, count = x + np.linalg.solve(p, rhs - matrix @ x), count + 1
    return x, count


def plain_pcg(matrix, rhs, relaxation, goal):
    p = preconditioner(matrix, relaxation)
    x, r, direction, energy, count = np.zeros_like(rhs), rhs, 0.0, np.inf, 0
    while np.linalg.norm(rhs - matrix @ x) > goal:
        z = np.linalg.solve(p, r)
        direction = z + (r @ z) / energy * direction
        energy = r @ z
        length = energy / (direction @ (matrix @ direction))
        x, r = x + length * direction, r - length * (matrix @ direction)
        count += 1
    return x, count


@pytest.mark.parametrize("kind", range(4))
def test_sor_counts_equal_a_plain_loop(kind):
    """4 patterns, 50 systems each, random relaxations, equal exactly."""
    rng = np.random.default_rng(kind)
    pattern = sp.csr_array(patterns(rng)[kind])
    systems = [
        (weighted(pattern, rng), rng.normal(size=pattern.shape[0])) for _ in range(50)
    ]
    stream = LinearSequence(systems)
    solution = lm.solve(stream, LearnedRelaxation(SOR(), TsallisINF(12)), key=kind)
    for t, (matrix, rhs) in enumerate(systems):
        goal = SHARE * 1e-8 * np.linalg.norm(rhs)
        omega = solution.value.relaxation[t]
        x, count = plain_sor(matrix, rhs, omega, goal)
        assert solution.value.counts[t] == count, (t, omega)
        # same iterates in another order of rounding
        np.testing.assert_allclose(solution.value.solutions[t], x, atol=1e-12)
    assert solution.certified


@pytest.mark.parametrize(
    ("solver", "plain"),
    [
        (SSOR(), plain_ssor),
        (SSORPCG(), plain_pcg),
        (SSORPCG(eisenstat=True), plain_pcg),
    ],
    ids=["ssor", "pcg", "eisenstat"],
)
def test_other_counts_equal_a_plain_loop(solver, plain):
    rng = np.random.default_rng(9)
    pattern = square_laplacian(4)
    systems = [(weighted(pattern, rng), rng.normal(size=16)) for _ in range(20)]
    stream = LinearSequence(systems, criterion=RightHandSide())
    solution = lm.solve(stream, LearnedRelaxation(solver, TsallisINF(6)))
    for t, (matrix, rhs) in enumerate(systems):
        goal = SHARE * 1e-8 * np.linalg.norm(rhs)
        _, count = plain(matrix, rhs, solution.value.relaxation[t], goal)
        assert solution.value.counts[t] == count


def test_patterns_that_differ_are_united():
    one = np.array([[2.0, 1, 0], [1, 2, 0], [0, 0, 2]])
    two = sp.csr_array(np.array([[3.0, 0, 1], [0, 3, 0], [1, 0, 3]]))
    stream = LinearSequence([(one, np.ones(3)), (two, np.ones(3))])
    with jax.enable_x64(True):
        np.testing.assert_array_equal(stream.matrix(0).toarray(), one)
        np.testing.assert_array_equal(stream.matrix(1).toarray(), two.toarray())
    again = LinearSequence.unpack(stream.pack().json, stream.pack().arrays)
    assert digest(again.pack()) == digest(stream.pack())


def test_zero_rhs_costs_nothing_and_teaches_nothing():
    """Answer 0, cost 0; the policy's next weights are as if the round had not been."""
    rng = np.random.default_rng(1)
    rhs = rng.normal(size=(6, 9))
    rhs[2] = 0.0
    stream = ShiftedSequence(square_laplacian(3), np.zeros(6), rhs)
    method = LearnedRelaxation(SOR(), TsallisINF(4))
    solution = lm.solve(stream, method)
    trace = solution.stats.trace
    assert solution.value.counts[2] == 0
    assert trace["loss"][2] == -1
    assert not np.any(solution.value.solutions[2])
    assert trace["normaliser"][3] == trace["normaliser"][2]
    assert trace["normaliser"][4] != trace["normaliser"][3]
    assert solution.certified


def test_cap_is_counted_and_reported():
    stream = shifted_laplacian(5, side=4)
    method = LearnedRelaxation(SOR(), FixedRelaxation(1.0), cap=3)
    solution = lm.solve(stream, method, throw=False)
    assert solution.result.name == "unsolved"
    assert "5 of 5 systems reached the cap of 3" in solution.result.sentence
    assert np.all(solution.value.counts == 3)
    assert not solution.certificate["sequence_residual"].holds
    with pytest.raises(lm.core.NotConverged, match="cap of 3"):
        lm.solve(stream, method)


def test_indefinite_system_is_no_success():
    """SOR overflows on it: the cap is the cost, and the claim fails."""
    rhs = np.ones((1, 4))
    stream = ShiftedSequence(square_laplacian(2), [-3.5], rhs)
    method = LearnedRelaxation(SOR(), FixedRelaxation(1.5), cap=4000)
    solution = lm.solve(stream, method, throw=False)
    assert solution.result.name == "unsolved"
    assert solution.value.counts[0] == 4000
    assert np.isinf(solution.stats.trace["ratio"][0])
    assert not solution.certified


def test_context_outside_the_interval_ends_the_run():
    stream = shifted_laplacian(6, side=3)
    policy = ChebCB((-0.15, float(np.sort(stream.contexts)[-2])), arms=4)
    worst = int(np.argmax(stream.contexts))
    solution = lm.solve(stream, LearnedRelaxation(SOR(), policy), throw=False)
    assert solution.result.name == "context_outside"
    assert f"of system {worst} is outside" in solution.result.sentence
    assert solution.stats.steps == worst
    assert np.all(solution.value.counts[worst:] == -1)


def test_criteria_stop_where_they_say():
    """Two relative ones coincide at a zero start and part at a warm one."""
    rng = np.random.default_rng(3)
    matrix = square_laplacian(3)
    rhs = rng.normal(size=9)
    systems = [(matrix, rhs), (matrix, rhs * (1 + 1e-6))]
    policy = FixedRelaxation(1.2)

    def counts(criterion, warm):
        stream = LinearSequence(systems, criterion=criterion, warm_start=warm)
        solution = lm.solve(stream, LearnedRelaxation(SOR(), policy))
        assert solution.certified
        return solution.value.counts

    cold = [counts(c, False) for c in (InitialResidual(), RightHandSide())]
    np.testing.assert_array_equal(*cold)
    warm = [counts(c, True) for c in (InitialResidual(), RightHandSide())]
    assert warm[1][1] < cold[1][1] // 2 < warm[0][1]
    absolute = LinearSequence(systems, rtol=1e-3, criterion=Absolute())
    solution = lm.solve(absolute, LearnedRelaxation(SSOR(), policy))
    residual = [
        b - a @ x for (a, b), x in zip(systems, solution.value.solutions, strict=True)
    ]
    assert max(np.linalg.norm(r) for r in residual) <= 1e-3
    assert solution.value.counts[0] < cold[0][0]


def test_resumed_run_draws_the_same_arms(tmp_path):
    """Stopped three times at odd places, the same bits."""
    stream = shifted_laplacian(20, side=3)
    method = LearnedRelaxation(SOR(), TsallisINF(5))
    whole = lm.solve(stream, method, key=4)
    limits = {"key": 4, "checkpoint": tmp_path / "run", "throw": False}
    for stop in (3, 4, 11):
        lm.solve(stream, method, max_steps=stop, **limits)
    resumed = lm.solve(stream, method, **limits)
    for name, array in whole.value.pack().items():
        np.testing.assert_array_equal(resumed.value.pack()[name], array)
    np.testing.assert_array_equal(resumed.stats.trace["arm"], whole.stats.trace["arm"])


STREAM = shifted_laplacian(9, side=3)
OPTIONS = {"criterion": InitialResidual(), "warm_start": False, "key": 2}


def generated(stop=9, start=0, spoilt=None):
    with jax.enable_x64(True):
        pairs = [(STREAM.matrix(t), STREAM.rhs[t]) for t in range(stop)]
    if spoilt is not None:
        index, pair = spoilt
        pairs[index] = pair
    yield from pairs[start:]


def sequence(systems, folder, **options):
    return solve_sequence(
        systems, SOR(), TsallisINF(4), folder=folder, **(OPTIONS | options)
    )


def test_generator_gives_what_the_stream_gives(tmp_path):
    log = sequence(generated(), tmp_path)
    run = lm.solve(STREAM, LearnedRelaxation(SOR(), TsallisINF(4)), key=2)
    assert log.counts == run.value.counts.tolist()
    assert log.relaxation == run.value.relaxation.tolist()
    assert log.certify().certified
    assert log.failures == 0


def test_crash_in_the_generator_loses_nothing(tmp_path):
    whole = sequence(generated(), tmp_path / "whole")

    def dying():
        yield from generated(stop=4)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        sequence(dying(), tmp_path / "part")
    log = sequence(generated(start=4), tmp_path / "part")
    assert log.relaxation == whole.relaxation
    for one, two in zip(log.solutions(), whole.solutions(), strict=True):
        np.testing.assert_array_equal(one, two)


SKEW = np.eye(9) + np.triu(np.ones((9, 9)), 1)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ((np.eye(4), np.ones(4)), "9 unknowns, as before, got 4"),
        ((np.eye(9), np.full(9, np.nan)), "finite right-hand side"),
        ((SKEW, np.ones(9)), r"A = A\.T"),
        ((-np.eye(9), np.ones(9)), "positive diagonal"),
        ((np.eye(9), np.ones(4)), r"shapes \(9, 9\)"),
        ((np.eye(9), np.ones(9), np.inf), "finite context"),
        (7, r"\(A, b\)"),
    ],
    ids=["size", "nan", "skew", "diagonal", "vector", "context", "form"],
)
def test_broken_system_keeps_what_is_solved(tmp_path, pair, message):
    with pytest.raises(SequenceBroken, match=message) as caught:
        sequence(generated(spoilt=(5, pair)), tmp_path)
    assert len(caught.value.log) == 5
    assert caught.value.where == "systems[5]"
    log = sequence(generated(start=5), tmp_path)  # mended, it goes on
    assert len(log) == 9
    assert log.certify().certified


def test_early_end_is_said(tmp_path):
    with pytest.raises(SequenceBroken, match="12 systems, got an end after 9"):
        sequence(generated(), tmp_path, steps=12)


def test_context_outside_is_refused(tmp_path):
    systems = [(np.eye(2), np.ones(2), 0.5), (np.eye(2), np.ones(2), 1.5)]
    with pytest.raises(SequenceBroken, match=r"context in \[0, 1\], got 1\.5"):
        solve_sequence(systems, SOR(), ChebCB((0.0, 1.0), 3), folder=tmp_path)


def test_folder_of_another_policy_is_refused(tmp_path):
    sequence(generated(), tmp_path)
    with pytest.raises(lm.core.InvalidArgument, match="solve_sequence.folder"):
        solve_sequence(iter(()), SOR(), TsallisINF(5), folder=tmp_path, **OPTIONS)
