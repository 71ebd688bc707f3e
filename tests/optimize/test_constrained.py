"""Constrained problems: forms, claims, derivatives of the solution, commands."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lemmata as lm
from lemmata import cli
from lemmata.core import InvalidArgument, InvalidProblem, NotCertified
from lemmata.data.classification import scaled
from lemmata.optimize import (
    ConstrainedLogistic,
    EqualityConstrained,
    ExactNewton,
    PDEControl,
    hock_schittkowski,
    stationary_point,
)
from lemmata.optimize._constrained_checks import evaluation
from lemmata_checker.cli import main as lemmata_check
from lemmata_checker.curvature import hessian
from lemmata_checker.intervals import exact

R = 0.5**0.5


def circle(**options):
    return EqualityConstrained(
        lambda x: x[0] * x[1], lambda x: jnp.sum(x**2)[None] - 1, [1.0, 0.2], **options
    )


def newton(problem):
    """Newton's method on the KKT system, dense, from the problem's start."""
    x, multipliers = problem.x0.copy(), problem.multipliers0.copy()
    n, m = problem.sizes
    for _ in range(20):
        found = evaluation(problem, x)
        h, g = hessian(found, exact(multipliers)).mid, found.jacobian.mid
        residual = [found.gradient.mid + g.T @ multipliers, found.constraint.mid]
        matrix = np.block([[h, g.T], [g, np.zeros((m, m))]])
        step = np.linalg.solve(matrix, np.concatenate(residual))
        x, multipliers = x - step[:n], multipliers - step[n:]
        if np.max(np.abs(step)) < 1e-12:
            break
    return problem.candidate(x=x, multipliers=multipliers)


def held(problem, **answer):
    judged = lm.certify(problem, problem.candidate(**answer))
    return {d.id.split(".")[1][:-2]: d for d in judged.certificate.decisions}


def test_minimum_and_maximum_of_the_same_problem():
    low = held(circle(), x=[R, -R])
    assert all(d.holds for d in low.values())
    high = held(circle(), x=[R, R])
    assert high["kkt"].holds
    assert not high["strict_minimum"].holds
    assert high["kkt_exists"].holds


def test_saddle_is_stationary_and_no_minimum():
    saddle = EqualityConstrained(
        lambda x: x[0] ** 2 - x[1] ** 2, lambda x: x[2:] - 1, np.zeros(3)
    )
    found = held(saddle, x=[0.0, 0.0, 1.0])
    assert found["kkt"].holds
    assert not found["strict_minimum"].holds
    with pytest.raises(NotCertified):
        lm.solve(saddle, ExactNewton(), start=saddle.candidate(x=[0.0, 0.0, 1.0]))


def test_least_squares_multipliers():
    value = circle().candidate(x=[R, -R])
    np.testing.assert_allclose(value.multipliers, [0.5], atol=1e-14)  # rounding


def test_shapes_of_a_candidate():
    with pytest.raises(InvalidArgument, match=r"candidate\.x"):
        circle().candidate(x=np.ones(3))
    with pytest.raises(InvalidArgument, match=r"candidate\.multipliers"):
        circle().candidate(x=np.ones(2), multipliers=np.ones(3))


def test_infinite_answer_is_judged_and_refused():
    found = held(circle(), x=[np.inf, 0.0], multipliers=[0.0])
    assert not found["kkt"].holds
    assert set(found) == {"kkt"}


@pytest.mark.parametrize("n", [3, 6])
def test_control_encloses_the_known_minimum(n):
    """Known optimal values; first residual of the reference at n = 3: 19.187."""
    problem = PDEControl(n)
    judged = lm.certify(problem, newton(problem))
    assert judged.certified, str(judged)
    (found,) = [
        d for d in judged.certificate.decisions if d.id == "optimize.global_minimum/1"
    ]
    known = {3: 9.644442051811627, 6: 41.00403519940437}[n]
    assert found.figures["lower"] <= known <= found.figures["upper"]
    assert found.measured <= 1e-6
    start = evaluation(problem, problem.x0)
    slope = start.gradient.mid + start.jacobian.mid.T @ problem.multipliers0
    first = np.linalg.norm(np.concatenate([slope, start.constraint.mid]))
    if n == 3:
        assert first == pytest.approx(19.187, abs=1e-3)


def logistic(**options):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 8))
    labels = np.where(features[:, 0] + 0.5 * rng.normal(size=40) > 0, 1, -1)
    return features, labels, ConstrainedLogistic(features, labels, rows=3, **options)


def test_logistic_is_what_it_says():
    features, labels, problem = logistic(key=4)
    assert problem.sizes == (8, 4)
    x = np.random.default_rng(1).normal(size=8)
    found = evaluation(problem, x)
    margins = labels * (features @ x)
    loss = np.mean(np.log1p(np.exp(-margins)))
    np.testing.assert_allclose(found.objective.mid, loss, rtol=1e-13)  # rounding
    matrix, rhs = problem.data["matrix"], problem.data["rhs"]
    np.testing.assert_allclose(found.constraint.mid[:3], matrix @ x - rhs, atol=1e-13)
    np.testing.assert_allclose(found.constraint.mid[3], x @ x - 1, atol=1e-13)
    direction = np.linalg.lstsq(matrix, rhs, rcond=None)[0]
    assert np.linalg.norm(direction) <= 1  # the affine set meets the sphere


def test_the_same_key_makes_the_same_constraints():
    one, two, other = (logistic(key=k)[2].data["matrix"] for k in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert np.any(one != other)


def test_columns_are_scaled():
    found = scaled(np.array([[1.0, 5.0], [3.0, 5.0], [2.0, 5.0]]))
    np.testing.assert_array_equal(found, [[-1, 0], [1, 0], [0, 0]])


def same_functions(one, two):
    x = one.x0 + 0.1
    with jax.enable_x64(True):
        # the same operations, in another order of rounding
        np.testing.assert_allclose(two.f(x), one.f(x), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(two.c(x), one.c(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["PDE", "logistic", "HS7", "HS42", "HS56"])
def test_recorded_problem_comes_back(name):
    made = {"PDE": lambda: PDEControl(4), "logistic": lambda: logistic()[2]}
    problem = made.get(name, lambda: hock_schittkowski(name))()
    packed = problem.pack()
    again = EqualityConstrained.unpack(packed.json, packed.arrays)
    assert again.pack().json == packed.json
    assert set(again.pack().arrays) == set(packed.arrays)
    same_functions(problem, again)


def test_closures_travel_with_their_arrays():
    weights = np.array([1.0, 2.0, 4.0])
    problem = EqualityConstrained(
        lambda x: jnp.sum(weights * x**2),
        lambda x: jnp.asarray(weights) @ x[None].T - 7,
        np.ones(3),
    )
    arrays = problem.pack().arrays
    assert any(np.array_equal(array, weights) for array in arrays.values())
    assert len(arrays) == 3


def test_data_can_be_replaced_at_the_judge():
    """A certificate for other data does not convince whoever brings their own."""
    problem = PDEControl(2)
    value = newton(problem)
    data = {**problem.data, "target": problem.data["target"] + 1e-3}
    other = EqualityConstrained(
        problem.objective, problem.constraint, problem.x0, data=data
    )
    assert lm.certify(problem, value).certified
    assert not lm.certify(other, value).certified


def test_derivative_of_the_solution():
    """d x / d target of a quadratic program, against the KKT system in NumPy."""
    problem = PDEControl(2)
    found = evaluation(problem, problem.x0)
    h, g = hessian(found, exact(problem.multipliers0)).mid, found.jacobian.mid
    matrix = np.block([[h, g.T], [g, np.zeros((4, 4))]])
    right = np.zeros((12, 4))
    right[:4] = np.eye(4)
    expected = np.linalg.solve(matrix, right)[:8].reshape(8, 2, 2)
    with jax.enable_x64(True):

        def solution(target):
            other = EqualityConstrained(
                problem.objective, problem.constraint, problem.x0, problem.multipliers0,
                data={**problem.data, "target": target},
            )  # fmt: skip
            return stationary_point(other, ExactNewton(), max_steps=50).x

        derivative = jax.jit(jax.jacrev(solution))(problem.data["target"])
    np.testing.assert_allclose(derivative, expected, atol=1e-10)  # condition ~ 1e2


BAD = {
    "reserved name": ({"data": {"x0": np.ones(2)}}, r"data\['x0'\]"),
    "capital": ({"data": {"A": np.ones(2)}}, r"data\['A'\]"),
    "text": ({"data": {"a": "text"}}, r"data\['a'\]"),
    "infinite": ({"data": {"a": np.array([np.inf])}}, r"data\['a'\]: .*finite"),
    "infinite multiplier": ({"multipliers0": [np.inf]}, r"multipliers0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_fields_are_named(name):
    options, message = BAD[name]
    with pytest.raises(InvalidProblem, match=message):
        EqualityConstrained(
            lambda x, *_: x[0],
            lambda x, *_: jnp.sum(x**2)[None] - 1,
            [1.0, 1.0],
            **options,
        )


def test_start_on_a_kink_is_refused():
    with pytest.raises(InvalidProblem, match="smooth around x0"):
        EqualityConstrained(lambda x: jnp.abs(x[0]), lambda x: x[1:] - 1, np.zeros(2))


def test_errors_of_users_functions_are_shown():
    def broken(x):
        raise RuntimeError("no such table")

    with pytest.raises(
        InvalidProblem, match=r"objective: .*RuntimeError: no such table"
    ):
        EqualityConstrained(broken, lambda x: x[1:], np.zeros(2))


COMMANDS = {
    "HS28": [],
    "logistic": ["features", "labels"],
    "pde": ["target"],
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.slow
def test_named_problem_from_the_command_line(name, tmp_path, capsys):
    features, labels, _ = logistic()
    tables = {"features": features, "labels": labels, "target": np.ones((2, 2))}
    arguments = ["solve", "optimize-sketched-newton", "--option", f"program={name}"]
    for key in COMMANDS[name]:
        np.savetxt(tmp_path / f"{key}.csv", tables[key], delimiter=",")
        arguments += ["--data", f"{key}={tmp_path / key}.csv"]
    if name == "logistic":
        np.savetxt(tmp_path / "matrix.csv", np.eye(8)[:2], delimiter=",")
        np.savetxt(tmp_path / "rhs.csv", [0.1, 0.2], delimiter=",")
        for key in ("matrix", "rhs"):
            arguments += ["--data", f"{key}={tmp_path / key}.csv"]
    arguments += ["--no-progress", "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == 0, capsys.readouterr()
    assert lemmata_check([str(tmp_path / "out" / "answer.lemma")]) == 0


@pytest.mark.parametrize(
    ("program", "arrays", "message"),
    [
        ("logistic", {}, "features|labels"),
        ("pde", {"target": np.ones((2, 3))}, "target"),
        ("pde", {"features": np.ones((2, 2))}, "only target"),
        ("HS999", {}, "hock_schittkowski.name"),
        ("{nodes", {}, "recorded operations as JSON"),
    ],
)
def test_named_problems_refuse(program, arrays, message):
    with pytest.raises(InvalidArgument, match=message):
        EqualityConstrained.unpack({"program": program}, arrays)


def test_recorded_operations_as_text():
    packed = PDEControl(2).pack()
    text = {**packed.json, "program": json.dumps(packed.json["program"])}
    again = EqualityConstrained.unpack(text, packed.arrays)
    assert again.pack().json == packed.json


def test_operations_that_are_none_are_refused():
    packed = PDEControl(2).pack()
    broken = json.loads(json.dumps(packed.json))
    broken["program"]["nodes"][5] = ["launch", 0]
    with pytest.raises(InvalidProblem):
        EqualityConstrained.unpack(broken, packed.arrays)
