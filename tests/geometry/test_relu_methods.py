"""Every method on the convex program, against Clarabel and against theory."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import lemmata as lm
from lemmata.geometry import (
    ADMM,
    BackPropagation,
    Backtracking,
    ConicSolver,
    ConvexReLU,
    DenseCholesky,
    Exact,
    Given,
    RandomizedBlockADMM,
    Sampled,
    SampledConvexProgram,
    SemismoothNewton,
    Woodbury,
    dual_value,
    with_more_patterns,
)
from lemmata.geometry._relu_dual import cones_of, pulls_of
from lemmata.geometry._relu_generation import ascended

DECAY = {"squared": 0.5, "hinge": 0.01, "logistic": 0.5}


def tumours(n=40, columns=3):
    """Standardised columns of breast_cancer and a column of ones."""
    x, y = load_breast_cancer(return_X_y=True)
    x = x[:n, :columns]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return np.hstack([x, np.ones((n, 1))]), np.where(y[:n] > 0, 1.0, -1.0)


def program(loss="squared", patterns=8, **options):
    return ConvexReLU(
        *tumours(),
        loss,
        weight_decay=DECAY[loss],
        patterns=Sampled(patterns),
        **options,
    )


def plane(n=30):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    y = np.abs(x[:, 0]) - 0.5 * x[:, 1] + 0.3 * rng.normal(size=n)
    return x, y


@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic"])
def test_newton_meets_the_interior_point_solver(loss):
    problem = program(loss)
    newton = lm.solve(problem)
    conic = lm.solve(problem, ConicSolver())
    # both gaps are certified at 1e-6; Clarabel stops at 1e-9
    assert newton.value.objective == pytest.approx(conic.value.objective, rel=1e-6)
    assert dual_value(problem, newton.value.dual) <= conic.value.objective
    assert newton.stats.steps < 150


def test_newton_keeps_a_wider_logit():
    problem = program("logistic", logit_scale=2.0)
    newton, conic = lm.solve(problem), lm.solve(problem, ConicSolver())
    assert newton.value.objective == pytest.approx(conic.value.objective, rel=1e-6)


def test_newton_starts_from_an_answer():
    problem = program()
    first = lm.solve(problem)
    again = lm.solve(problem, start=first)
    assert again.certified
    assert again.stats.steps <= first.stats.steps


@pytest.mark.slow
def test_either_linear_system_takes_the_same_steps():
    problem = program(gap_tol=1e-4)
    one, two = (
        lm.solve(problem, ADMM(linear_solver=solver))
        for solver in (Woodbury(), DenseCholesky())
    )
    assert two.certified
    assert one.stats.steps == two.stats.steps


def test_admm_reaches_a_certified_gap():
    problem = program(gap_tol=1e-4)
    one = lm.solve(problem, ADMM())
    assert one.certified
    assert one.certificate["residual_decay"].holds
    reference = lm.solve(problem).value.objective
    # what is reported is the cost of a network, not the program's objective at z
    assert one.value.objective == pytest.approx(reference, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_admm_with_a_copy_of_the_predictions(loss):
    problem = program(loss, gap_tol=1e-3)
    method = ADMM(relaxation=1.6, balance=True)
    assert lm.solve(problem, method, max_steps=20_000).certified


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["squared", "hinge", "logistic"])
def test_random_blocks_reach_the_objective(loss):
    """Within 1e-3: Penalties suit the loss's curvature."""
    problem = program(loss)
    reference = lm.solve(problem).value.objective
    method = RandomizedBlockADMM({"squared": 1.0, "hinge": 0.3, "logistic": 0.05}[loss])
    solution = lm.solve(problem, method, max_steps=1000, throw=False)
    assert solution.value.objective == pytest.approx(reference, rel=1e-3)


@pytest.mark.slow
def test_random_blocks_by_backtracking_descend():
    problem = program()
    reference = lm.solve(problem).value.objective
    method = RandomizedBlockADMM(block_step=Backtracking())
    solution = lm.solve(problem, method, max_steps=400, throw=False)
    assert reference * (1 - 1e-6) <= solution.value.objective <= reference * 1.05


def test_global_optimum_in_the_plane_beats_training_and_the_sampled_program_nears_it():
    x, y = plane()
    problem = ConvexReLU(x, y, weight_decay=0.3, patterns=Exact())
    best = lm.solve(problem)
    assert best.certificate["global_gap"].holds
    floor = dual_value(problem, best.value.dual)
    previous = np.inf
    for features in (50, 200, 1000):
        sampled = lm.solve(problem, SampledConvexProgram(features), throw=False)
        assert sampled.value.objective >= floor - 1e-9
        previous = min(previous, sampled.value.objective)
    assert previous <= best.value.objective * (1 + 2e-3)
    assert sampled.certificate["scenario_violation"].holds


@pytest.mark.slow
def test_no_start_of_training_gets_below_the_floor_of_all_networks():
    x, y = plane()
    problem = ConvexReLU(x, y, weight_decay=0.3, patterns=Exact())
    best = lm.solve(problem)
    floor = dual_value(problem, best.value.dual)
    for seed in range(3):
        method = BackPropagation(40, steps=3000)
        trained = lm.solve(problem, method, key=seed, throw=False)
        assert trained.value.objective >= floor - 1e-9
        # enough units and steps to come near: Adam at a fixed rate hovers
        assert trained.value.objective <= best.value.objective * 1.02


def test_merging_units_of_an_answer_never_costs():
    x, y = plane(12)
    problem = ConvexReLU(x, y, weight_decay=0.1, patterns=Exact())
    rng = np.random.default_rng(0)
    u, a = rng.normal(size=(40, 2)), rng.normal(size=40)
    value = problem.candidate(hidden_weights=u, output_weights=a)
    fewer = problem.merged(value)
    assert fewer.width < value.width
    assert fewer.objective < value.objective
    np.testing.assert_allclose(fewer(x), value(x), rtol=1e-12)


def test_more_patterns_beat_the_network_they_came_from():
    """The optimum over a network's own patterns is at most its cost."""
    problem = program(patterns=3)
    first = lm.solve(problem)
    rng = np.random.default_rng(0)
    u, a = 0.5 * rng.normal(size=(12, 4)), 0.5 * rng.normal(size=12)
    foreign = problem.candidate(hidden_weights=u, output_weights=a)
    wider = with_more_patterns(problem, foreign, count=5)
    second = lm.solve(wider)
    assert len(problem.patterns) < len(wider.patterns) <= 3 + 12 + 5
    assert second.value.objective < min(foreign.objective, first.value.objective)
    third = lm.solve(with_more_patterns(wider, second.value, count=5))
    # each side is within 1e-6 of its optimum, and the optima cannot grow
    assert third.value.objective <= second.value.objective * (1 + 1e-6)


def test_the_search_for_directions_finds_what_all_cells_have():
    """In the plane the best direction of every cell is a projection: exact."""
    x, y = plane(12)
    theta = y - np.mean(y)
    everything = ConvexReLU(x, y, weight_decay=0.1, patterns=Exact())
    cones = cones_of(x, everything.patterns)
    pulls = pulls_of(x, np.asarray(everything.patterns), theta)
    face = cones.project(np.arange(len(pulls)), pulls)
    best = np.max(np.linalg.norm(face.point, axis=1))
    starts = np.random.default_rng(0).normal(size=(100, 2))
    u, pull = ascended(x, theta, starts)
    np.testing.assert_allclose(np.abs(np.maximum(u @ x.T, 0) @ theta), pull)
    assert best * (1 - 1e-6) <= np.max(pull) <= best * (1 + 1e-12)


def test_a_large_decay_leaves_the_zero_network():
    x, y = plane(12)
    solution = lm.solve(ConvexReLU(x, y, weight_decay=1e4, patterns=Exact()))
    assert solution.value.width == 0
    assert solution.value.objective == pytest.approx(0.5 * y @ y)
    assert solution.certified


def test_zero_targets_cost_nothing():
    x, _ = plane(12)
    solution = lm.solve(ConvexReLU(x, np.zeros(12), weight_decay=0.1))
    assert solution.certified
    assert solution.value.objective == 0


def test_duplicate_and_zero_rows_are_no_trouble():
    x, y = plane(12)
    x[3], x[4] = 0.0, x[5]
    solution = lm.solve(ConvexReLU(x, y, weight_decay=0.1, patterns=Exact()))
    assert solution.certificate["global_gap"].holds


def test_a_foreign_network_gets_a_gap_and_patterns_may_be_too_few():
    x, y = plane(12)
    problem = ConvexReLU(x, y, weight_decay=0.1, patterns=Exact())
    value = problem.candidate(hidden_weights=x[:3], output_weights=y[:3])
    judged = lm.certify(problem, value)
    assert judged.certificate["network_cost"].holds
    assert not judged.certificate["network_gap"].holds
    fewer = ConvexReLU(x, y, weight_decay=0.1, patterns=Sampled(3))
    withheld = {claim.id for claim in lm.solve(fewer).certificate.withheld}
    assert withheld == {"geometry.global_gap/1"}


@pytest.mark.slow
def test_newton_at_full_size():
    """120 rows, 8 columns and ones, 30 patterns; Clarabel there: 12.153763."""
    x, y = load_breast_cancer(return_X_y=True)
    x = ((x - x.mean(axis=0)) / x.std(axis=0))[:120, :8]
    x, y = np.hstack([x, np.ones((120, 1))]), np.where(y[:120] > 0, 1.0, -1.0)
    h = np.random.default_rng(0).normal(size=(9, 30)).T
    problem = ConvexReLU(x, y, weight_decay=0.5, patterns=Given(directions=h))
    solution = lm.solve(problem, SemismoothNewton())
    assert solution.certificate["network_gap"].measured < 1e-6
    assert solution.value.objective == pytest.approx(12.153763, abs=1e-5)
