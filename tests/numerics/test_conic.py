"""The door to conic solvers: programs whose answers are known in closed form."""

import importlib

import numpy as np
import pytest
import scipy.sparse

from lemmata.core import InvalidArgument
from lemmata.numerics import conic
from lemmata.numerics.conic import ConeProgram, solve_cone_program

SOLVERS = ("clarabel", "scs")
# SCS is of first order: a looser tolerance, more iterations, and 20 times its
# tolerance in x for programs of condition about one.
LIMITS = {"clarabel": (1e-10, 100, 1e-7), "scs": (1e-9, 50_000, 1e-6)}


def answer(program, solver):
    tol, iterations, off = LIMITS[solver]
    found = solve_cone_program(
        program, tol=tol, max_iterations=iterations, solver=solver
    )
    assert found.status == "solved"
    assert found.usable
    return found, off


def stationary(program, found):
    quadratic = 0 if program.quadratic is None else program.quadratic @ found.x
    return quadratic + program.linear + program.matrix.T @ found.dual


@pytest.mark.parametrize("solver", SOLVERS)
def test_projection_on_a_cone_of_each_kind(solver):
    """min ||x - c||^2 / 2: x1 = 1 fixed, x2 >= 0, (x3, x4) with |x4| <= x3."""
    target = np.array([3.0, -2.0, 0.0, 2.0])
    program = ConeProgram(
        -target,
        -scipy.sparse.eye_array(4, format="csc"),
        np.array([-1.0, 0.0, 0.0, 0.0]),
        (("zero", 1), ("nonnegative", 1), ("second_order", 2)),
        scipy.sparse.eye_array(4, format="csc"),
    )
    found, off = answer(program, solver)
    np.testing.assert_allclose(found.x, [1.0, 0.0, 1.0, 1.0], atol=off)
    np.testing.assert_allclose(stationary(program, found), 0, atol=off)


@pytest.mark.parametrize("solver", SOLVERS)
def test_least_eigenvalue_after_a_part_of_another_kind(solver):
    """max t with S - t I semidefinite; rows out of SCS's order, entries unequal."""
    rng = np.random.default_rng(0)
    s = rng.normal(size=(4, 4))
    s = s + s.T
    row, column = conic.svec_order(4)
    scale = np.where(row == column, 1.0, 2**0.5)
    rows = np.concatenate([(row == column).astype(float), [1.0]])
    program = ConeProgram(
        np.array([-1.0]),
        scipy.sparse.csc_array(rows[:, None]),
        np.append(scale * s[row, column], 50.0),  # and t <= 50
        (("semidefinite", 4), ("nonnegative", 1)),
    )
    found, off = answer(program, solver)
    np.testing.assert_allclose(found.x[0], np.linalg.eigvalsh(s)[0], atol=10 * off)
    np.testing.assert_allclose(stationary(program, found), 0, atol=10 * off)
    # The dual is the eigenvector's projector, in the same order of entries.
    dual = np.zeros((4, 4))
    dual[row, column] = dual[column, row] = found.dual[:-1] / scale
    vector = np.linalg.eigh(s)[1][:, 0]
    np.testing.assert_allclose(dual, np.outer(vector, vector), atol=1e3 * off)


def test_an_infeasible_program_says_so():
    """x >= 1 and x <= 0."""
    program = ConeProgram(
        np.array([1.0]),
        scipy.sparse.csc_array(np.array([[-1.0], [1.0]])),
        np.array([-1.0, 0.0]),
        (("nonnegative", 2),),
    )
    for solver in SOLVERS:
        found = solve_cone_program(program, solver=solver, max_iterations=1000)
        assert found.status == "primal_infeasible"
        assert not found.usable


def test_a_limit_is_no_success():
    program = ConeProgram(
        np.ones(3),
        -scipy.sparse.eye_array(3, format="csc"),
        np.zeros(3),
        (("second_order", 3),),
        scipy.sparse.eye_array(3, format="csc"),
    )
    found = solve_cone_program(program, max_iterations=1)
    assert found.status == "max_iterations"
    assert not found.usable


BAD = {
    "rows": (dict(cones=(("zero", 1),)), r"cones: expected 2 rows together, got 1"),
    "name": (dict(cones=(("exponential", 2),)), r"cones: expected a name among zero"),
    "size": (dict(cones=(("zero", -2),)), r"an integer size >= 0, got -2"),
    "dense": (dict(matrix=np.eye(2)), r"matrix: expected a scipy sparse matrix"),
    "shape": (dict(rhs=np.zeros(3)), r"matrix: expected shape \(3, 2\)"),
    "nan": (dict(linear=np.array([np.nan, 1.0])), r"linear: .*1 not finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named(name):
    change, match = BAD[name]
    fields = dict(
        linear=np.ones(2),
        matrix=scipy.sparse.eye_array(2, format="csc"),
        rhs=np.ones(2),
        cones=(("nonnegative", 2),),
    )
    with pytest.raises(InvalidArgument, match=match):
        ConeProgram(**(fields | change))


def test_options_and_a_missing_package_are_named(monkeypatch):
    program = ConeProgram(
        np.ones(1), scipy.sparse.csc_array(-np.eye(1)), np.ones(1), (("zero", 1),)
    )
    with pytest.raises(InvalidArgument, match="solver: expected clarabel or scs"):
        solve_cone_program(program, solver="mosek")
    with pytest.raises(InvalidArgument, match="tol: expected > 0"):
        solve_cone_program(program, tol=0.0)

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(conic.ConicSolverNotFound, match=r"lemmata\[cones\]"):
        solve_cone_program(program)
