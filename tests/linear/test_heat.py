"""The heat equation's stream against SciPy's direct solves, and its judge."""

import dataclasses

import jax
import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

import lemmata as lm
from lemmata.linear import (
    SSORPCG,
    ChebCB,
    FixedRelaxation,
    HeatEquation2D,
    LearnedRelaxation,
    MovingBump,
    SequenceSolution,
    moving_heat_source,
    square_laplacian,
)
from lemmata_checker.packed import digest

METHOD = LearnedRelaxation(SSORPCG(), FixedRelaxation(1.3))


@pytest.fixture(scope="module")
def solved():
    return lm.solve(moving_heat_source(8, 12), METHOD)


def reference(problem: HeatEquation2D) -> np.ndarray:
    """Crank-Nicolson by sparse LU, the forcing written out again."""
    nx, dt, n = problem.nx, problem.dt, (problem.nx - 1) ** 2
    laplacian, one = square_laplacian(nx - 1) * nx**2, sp.eye_array(n)
    line = np.arange(1, nx) / nx
    x, y = (axis.reshape(-1) for axis in np.meshgrid(line, line, indexing="ij"))
    last, out = problem.initial, []
    for kappa, centre in zip(problem.diffusion, problem.forcing.centres, strict=True):
        distance = ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) * 64
        inside = distance < 1
        source = np.zeros(n)
        source[inside] = 32 * np.exp(1 - 1 / (1 - distance[inside]))
        half = 0.5 * dt * kappa * laplacian
        last = spsolve((one + half).tocsc(), (one - half) @ last + dt * source)
        out.append(last)
    return np.array(out)


def test_solutions_are_those_of_direct_solves(solved):
    # 1e-8 relative residual, condition below 2, errors add over 12 steps
    found, expected = solved.value.solutions, reference(solved.problem)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert solved.certified


def test_coefficients_are_the_papers():
    problem = moving_heat_source(6, 1000)
    time = (np.arange(1000) + 0.5) * 1e-3
    wave = np.sin(2 * np.pi * time)
    expected = np.where(wave > 0, 0.1 * wave, -10 * wave)
    np.testing.assert_allclose(problem.diffusion, expected, rtol=1e-12)
    np.testing.assert_array_equal(problem.contexts, problem.diffusion)
    early = moving_heat_source(6, 1000, context_at_start=True)
    assert early.contexts[0] == 0.0
    np.testing.assert_array_equal(early.diffusion, problem.diffusion)


def test_next_system_needs_the_last_solution():
    problem = moving_heat_source(6, 3)
    with jax.enable_x64(True):
        one = problem.system(1, np.zeros(25)).rhs
        two = problem.system(1, np.ones(25)).rhs
        first = problem.system(0, None)
    assert np.max(np.abs(np.asarray(one - two))) > 0.5
    np.testing.assert_array_equal(np.asarray(first.start), problem.initial)


def test_heat_without_source_decays_and_takes_stored_forcing():
    rng = np.random.default_rng(0)
    initial = rng.uniform(size=25)
    free = HeatEquation2D(6, 1e-2, 4, lambda time: 1.0, initial=initial)
    assert np.all(free.diffusion == 1.0)
    norms = np.linalg.norm(lm.solve(free, METHOD).value.solutions, axis=1)
    assert np.all(np.diff(np.concatenate([[np.linalg.norm(initial)], norms])) < 0)
    forced = HeatEquation2D(6, 1e-2, 4, np.ones(4), np.ones((4, 25)), initial)
    solution = lm.solve(forced, METHOD)
    assert solution.certified
    assert np.linalg.norm(solution.value.solutions[-1]) > norms[-1]


@pytest.mark.parametrize("place", [(0, 3), (5, 20), (11, 48)])
def test_one_altered_solution_is_refused(solved, place):
    """Also where the next system is what no longer fits."""
    altered = solved.value.solutions.copy()
    altered[place] += 1e-6
    value = dataclasses.replace(solved.value, solutions=altered)
    assert not lm.certify(solved.problem, value).certified


def test_altered_formula_is_refused(solved):
    problem = solved.problem
    centres = problem.forcing.centres + 1e-3
    shifted = MovingBump(centres, problem.forcing.radius, problem.forcing.height)
    other = HeatEquation2D(
        8, problem.dt, 12, problem.diffusion, shifted, problem.initial
    )
    assert not lm.certify(other, solved.value).certified


def test_round_trip_of_the_packed_form():
    for problem in (
        moving_heat_source(5, 3),
        HeatEquation2D(3, 0.1, 2, np.ones(2), np.ones((2, 4))),
    ):
        packed = problem.pack()
        again = HeatEquation2D.unpack(packed.json, packed.arrays)
        assert digest(again.pack()) == digest(packed)


def test_foreign_trajectory_is_judged():
    """SciPy's direct solves are certified; without the last step they are not."""
    problem = moving_heat_source(7, 6)
    found = reference(problem)
    assert lm.certify(problem, problem.candidate(solutions=found)).certified
    found[-1] = found[-2]
    judged = lm.certify(problem, problem.candidate(solutions=found))
    assert isinstance(judged.value, SequenceSolution)
    assert not judged.certified
    assert "system 5" in judged.certificate["sequence_residual"].detail


@pytest.mark.slow
def test_learned_relaxation_beats_every_fixed_one():
    """With nx = 50, 1,000 steps."""
    problem = moving_heat_source(50, 1000)
    learned = LearnedRelaxation(SSORPCG(), ChebCB((0.0, 10.0)))
    totals = {}
    for omega in (1.0, 1.3, 1.5, 1.75, 1.9):
        fixed = LearnedRelaxation(SSORPCG(), FixedRelaxation(omega))
        totals[omega] = lm.solve(problem, fixed).value.counts.sum()
    for key in range(3):
        total = lm.solve(problem, learned, key=key).value.counts.sum()
        assert total <= min(totals.values())
        assert total <= 0.75 * totals[1.0]
