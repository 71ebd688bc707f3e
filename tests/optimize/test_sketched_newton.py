"""Sketched Newton on problems with known solutions, its counts, and how it fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lemmata as lm
from lemmata.core import InvalidMethod
from lemmata.optimize import (
    CountSketch,
    ExactNewton,
    GaussianBlock,
    GaussianVector,
    Kaczmarz,
    MatrixFreeKKT,
    RowBlock,
    SketchedNewton,
    TheoryAccuracy,
    WeightedKaczmarz,
    _kkt as kkt,
)
from lemmata.optimize._constrained import ConstrainedPoint, EqualityConstrained
from lemmata.optimize._lagrangian import first_order, merit_parts
from lemmata.optimize._sketched_direction import DescentAccuracy, Solver

from .newton_instances import HS, control, hock, logistic

QUICK = ("HS7", "HS40")
SLOW = tuple(name for name in HS if name not in QUICK)
CONTROL = 9.644442051811627  # optimal value of the control problem, size 3


def column(solution, name):
    return np.asarray(solution.stats.trace[name])


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
)
def test_known_optima_from_five_keys(name):
    for key in range(5):
        solution = lm.solve(hock(name, 2e-8), SketchedNewton(), key=key)
        assert solution.result.name == "converged"
        assert column(solution, "residual")[-1] <= 1e-8
        assert solution.stats.steps <= 20
        # the published optima have eight or nine digits
        assert column(solution, "objective")[-1] == pytest.approx(
            HS[name].optimum, abs=1e-7
        )


def test_theory_rule_repeats_the_reference():
    """N = 3, Kaczmarz: first residual 19.187, three steps, every solve at its cap."""
    method = SketchedNewton(
        sketch=Kaczmarz(),
        accuracy=TheoryAccuracy(),
        equilibrate=False,
        superlinear=False,
        atol=1e-4,
    )
    problem = control()
    with jax.enable_x64(True):
        first = first_order(problem, problem.x0, problem.multipliers0).residual
    assert float(first) == pytest.approx(19.187, abs=5e-4)
    solution = lm.solve(problem, method, throw=False)
    assert solution.stats.steps == 3
    assert column(solution, "residual")[-1] <= 1e-4
    assert column(solution, "inner_saturated")[-1] == 3
    assert "3 inner solves ended at their cap" in solution.result.sentence
    assert np.all(column(solution, "delta") == 1e-6)  # the floor


@pytest.mark.parametrize(
    "sketch",
    [
        CountSketch(),
        *(
            pytest.param(s, marks=pytest.mark.slow)
            for s in (
                GaussianVector(),
                Kaczmarz(),
                WeightedKaczmarz(),
                GaussianBlock(),
                RowBlock(),
                RowBlock(3),
            )
        ),
    ],
    ids=repr,
)
def test_every_sketch_solves_the_control_problem(sketch):
    solution = lm.solve(control(tol=2e-8), SketchedNewton(sketch=sketch))
    assert column(solution, "objective")[-1] == pytest.approx(CONTROL, abs=1e-9)
    steps, width = column(solution, "sketch_steps"), sketch.width(27)
    assert np.array_equal(column(solution, "sketched_products"), steps * width)
    assert column(solution, "factorisations")[-1] == 0
    checks = column(solution, "residual_products")
    # one product measures the residual about once in a pass over the matrix
    assert np.all(checks * 27 <= 2 * column(solution, "sketched_products"))
    assert solution.certificate.holds


def test_rows_by_hessian_products_form_no_hessian(monkeypatch):
    def refuse(*_):
        raise AssertionError("the Hessian was formed")

    monkeypatch.setattr(kkt, "hessian", refuse)
    method = SketchedNewton(kkt=MatrixFreeKKT())
    solution = lm.solve(control(tol=2e-8), method)
    assert column(solution, "objective")[-1] == pytest.approx(CONTROL, abs=1e-9)
    assert column(solution, "estimate_products")[-1] > 0
    assert {w.id for w in solution.certificate.withheld} >= {"optimize.projection/1"}
    with pytest.raises(AssertionError, match="formed"):
        # an option of its own, so that it has not been compiled before
        lm.solve(control(tol=2e-8), SketchedNewton(record=7))


def test_matrix_free_system_is_the_stored_one():
    problem = hock("HS78")
    with jax.enable_x64(True):
        x, multipliers = jnp.asarray(problem.x0), jnp.ones(3)
        options = kkt.KKTOptions(0.1, jnp.asarray(1e-6), True, jax.random.key(0))
        stored = kkt.StoredKKT().system(problem, x, multipliers, options)
        free = MatrixFreeKKT(lanczos=2).system(problem, x, multipliers, options)
        plain = kkt.KKTOptions(0.1, jnp.asarray(1e-6), False, jax.random.key(0))
        matrix = kkt.StoredKKT().system(problem, x, multipliers, plain).operator.matrix
        v = jnp.arange(1.0, 9.0)
        assert bool(stored.modified) == bool(free.modified)
        # Lanczos ran to the dimension of the null space
        assert float(free.curvature) == pytest.approx(float(stored.curvature))
        assert float(free.rank) == pytest.approx(float(stored.rank))
        np.testing.assert_allclose(stored.times(v), matrix @ v, rtol=1e-12)
        if not bool(stored.modified):
            np.testing.assert_allclose(free.times(v), matrix @ v, rtol=1e-12)
        rows = free.operator.rows(jnp.asarray([0, 7]))
        expected = free.operator.times(jnp.eye(8))[:, jnp.asarray([0, 7])]
        np.testing.assert_allclose(rows, expected, rtol=1e-12, atol=1e-14)


class Counting:
    """An operator that counts the vectors it is multiplied with, outside of jit."""

    def __init__(self, matrix):
        self.matrix, self.products = matrix, 0

    def times(self, vectors):
        self.products += vectors.shape[1]
        return self.matrix @ vectors

    def rows(self, indices):
        self.products += indices.shape[0]
        return self.matrix[:, indices]

    def row_norms(self):
        return jnp.linalg.norm(self.matrix, axis=0)


class System:
    """A KKT system of which only products can be had."""

    def __init__(self, system):
        self.operator = Counting(system.operator.matrix)
        self.scale, self.norms, self.rank = system.scale, system.norms, system.rank

    def times(self, vector):
        scaled = (vector / self.scale)[:, None]
        return self.operator.times(scaled)[:, 0] / self.scale


def test_inner_solve_touches_the_matrix_by_counted_products_alone():
    problem = hock("HS42")
    with jax.enable_x64(True), jax.disable_jit():
        x, multipliers = jnp.asarray(problem.x0), jnp.zeros(2)
        options = kkt.KKTOptions(0.1, jnp.asarray(1e-6), True, jax.random.key(0))
        stored = kkt.StoredKKT().system(problem, x, multipliers, options)
        system = System(stored)
        at = first_order(problem, x, multipliers)
        parts = merit_parts(problem, x, multipliers, at)
        figures = [jnp.asarray(v) for v in (1.0, 0.1, 0.1, 1.5)]
        solver = Solver(
            RowBlock(2), DescentAccuracy(), system, at, parts, *figures, 10_000
        )
        etas = [jnp.asarray(v) for v in (1.0, 0.1, 0.1)]
        found = solver.solve(jax.random.key(1), *etas)
    assert bool(found.descends)
    assert int(found.sketched) == 2 * int(found.sketch_steps)
    assert system.operator.products == int(found.sketched) + int(found.checked)


def test_evaluations_are_one_for_each_trial():
    solution = lm.solve(hock("HS7"), SketchedNewton())
    alpha = column(solution, "alpha")
    values = column(solution, "objective_evaluations")
    for name in ("constraint_evaluations", "gradient_evaluations"):
        assert np.array_equal(column(solution, name), values)
    assert np.array_equal(values, 1 + np.cumsum(1 - np.log2(alpha)))
    steps = np.arange(1, len(alpha) + 1)
    assert np.array_equal(column(solution, "hessian_evaluations"), steps)


def test_penalties_only_tighten():
    solution = lm.solve(hock("HS40"), SketchedNewton())
    eta1, eta2 = column(solution, "eta1"), column(solution, "eta2")
    assert np.all(np.diff(eta1, prepend=1.0) >= 0)
    assert np.all(np.diff(eta2, prepend=0.1) <= 0)
    assert eta1[-1] > 1.0  # a descent test failed on the way
    # eta1 by nu^2 and eta2 by 1 / nu: eta1 eta2^2 stays
    assert eta1[-1] * eta2[-1] ** 2 == pytest.approx(0.01, rel=1e-12)
    assert np.all(np.diff(column(solution, "delta"), prepend=0.1) <= 0)


def test_warm_start_from_the_answer_takes_no_step():
    problem = hock("HS7")
    solution = lm.solve(problem, SketchedNewton())
    again = lm.solve(problem, SketchedNewton(), start=solution)
    assert again.stats.steps == 0
    near = ConstrainedPoint(solution.value.x + 1e-3, solution.value.multipliers)
    fewer = lm.solve(problem, SketchedNewton(), start=near)
    assert 0 < fewer.stats.steps < solution.stats.steps
    claim = [c for c in fewer.certificate.claims if c.id == "optimize.descent/1"]
    assert claim[0].parameters["start"] == "warm"
    assert fewer.certificate["descent"].holds


def attempt(objective, constraint, start, **options):
    problem = EqualityConstrained(objective, constraint, start)
    return lm.solve(problem, SketchedNewton(**options), throw=False)


@pytest.mark.slow
def test_as_many_constraints_as_unknowns_is_root_finding():
    solution = attempt(
        lambda x: 0.0 * x[0],
        lambda x: jnp.stack([x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5]),
        [0.0, 0.0],
    )
    np.testing.assert_allclose(solution.value.x, [1, 3], atol=1e-6)
    assert not np.any(column(solution, "modified"))
    assert solution.certificate.holds, str(solution)


def test_rank_lost_on_the_way_is_said():
    solution = attempt(
        lambda x: x[0] + x[1],
        lambda x: jnp.stack([x[0] ** 2 + x[1] ** 2]),
        [1.0, 1.0],
        licq_floor=1e-2,
    )
    assert solution.result.name == "degenerate_constraints"
    assert "least singular value" in solution.result.sentence
    assert np.all(np.isfinite(solution.value.x))
    assert not solution.certificate["kkt"].holds


@pytest.mark.slow
def test_contradicting_constraints_do_not_pass():
    solution = attempt(
        lambda x: x[0],
        lambda x: jnp.stack([x[0] ** 2 + x[1] ** 2 - 1, x[0] + x[1] - 4]),
        [1.0, 0.5],
        max_inner=2_000,
        max_outer=200,
    )
    assert solution.result.name in (
        "degenerate_constraints",
        "frozen_penalty",
        "inner_saturated",
        "line_search_failed",
        "max_outer",
    )
    assert not solution.certificate["kkt"].holds


def test_too_few_sketch_steps_are_said():
    solution = attempt(*HS["HS79"][:3], max_inner=4, equilibrate=False)
    assert solution.result.name == "inner_saturated"
    assert "max_inner" in solution.result.sentence
    assert column(solution, "inner_saturated")[-1] > 0


def test_a_saddle_is_a_kkt_point_but_no_minimum():
    solution = attempt(
        lambda x: x[0] ** 2 - x[1] ** 2,
        lambda x: jnp.stack([x[2] - x[0]]),
        [0.0, 0.0, 0.0],
    )
    assert solution.result.name == "converged"
    assert solution.stats.steps == 0
    assert solution.certificate["kkt"].holds
    assert not solution.certificate["strict_minimum"].holds


@pytest.mark.slow
def test_outside_the_domain_steps_are_halved():
    solution = attempt(
        lambda x: -jnp.log(x[0]) - jnp.log(x[1]),
        lambda x: jnp.stack([x[0] + x[1] - 1]),
        [5.0, 1.0],
    )
    np.testing.assert_allclose(solution.value.x, [0.5, 0.5], atol=1e-6)
    assert column(solution, "alpha").min() < 1


@pytest.mark.slow
def test_limit_on_steps_is_said():
    solution = lm.solve(hock("HS7"), SketchedNewton(max_outer=3), throw=False)
    assert solution.result.name == "max_outer"
    assert solution.stats.steps == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.5}, r"beta: expected in \(0, 1/2\), got 0.5"),
        ({"beta": 0.0}, r"beta"),
        ({"nu": 1.0}, r"nu: expected > 1"),
        ({"eta1": -1.0}, r"eta1: expected > 0"),
        ({"eta2": 0.0}, r"eta2: expected > 0"),
        ({"delta": 1.0}, r"delta: expected in \(0, 1\)"),
        ({"xi": 0.0}, r"xi: expected > 0"),
        ({"atol": 0.0}, r"atol: expected None or > 0"),
        ({"max_inner": 1}, r"max_inner: expected None or >= 4"),
        ({"licq_floor": -1.0}, r"licq_floor: expected >= 0"),
        ({"record": -1}, r"record: expected >= 0"),
        ({"sketch": RowBlock(0)}, r"RowBlock.columns: expected None or >= 1"),
        ({"kkt": MatrixFreeKKT(lanczos=0)}, r"MatrixFreeKKT.lanczos: expected >= 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(InvalidMethod, match=message):
        SketchedNewton(**options)
    if set(options) <= {"beta", "nu", "eta1", "eta2", "xi", "atol"}:
        with pytest.raises(InvalidMethod, match=message):
            ExactNewton(**options)


@pytest.mark.slow
def test_logistic_agrees_with_scipy():
    from scipy.optimize import minimize

    problem = logistic()
    solution = lm.solve(problem, SketchedNewton())
    with jax.enable_x64(True):
        value = jax.jit(lambda x: problem.f(x))
        slope = jax.jit(jax.grad(lambda x: problem.f(x)))
        level = jax.jit(lambda x: problem.c(x))
        rows = jax.jit(jax.jacrev(lambda x: problem.c(x)))
        reference = minimize(
            lambda x: float(value(x)),
            problem.x0,
            jac=lambda x: np.asarray(slope(x)),
            method="SLSQP",
            constraints={
                "type": "eq",
                "fun": lambda x: np.asarray(level(x)),
                "jac": lambda x: np.asarray(rows(x)),
            },
            options={"ftol": 1e-14},
        )
    np.testing.assert_allclose(solution.value.x, reference.x, atol=1e-5)
