"""Composite problems: claims about good, bad and foreign answers; packing; graphs."""

import jax
import numpy as np
import pytest
import scipy.sparse

import lemmata as lm
from lemmata.core import InvalidProblem
from lemmata.optimize import (
    L1,
    Box,
    CompositeProblem,
    GraphQuadratic,
    LeastSquares,
    Logistic,
    NonNegative,
    NonNegativeL1,
    Quadratic,
    Softmax,
    Unpenalised,
)
from lemmata.optimize._composite_reference import first_residual, host_scale
from lemmata_checker.packed import digest

RNG = np.random.default_rng(0)
DESIGN = RNG.normal(size=(30, 6))
TARGET = DESIGN @ np.array([2.0, -1.0, 0.0, 0.0, 0.5, 0.0]) + 0.3 * RNG.normal(size=30)
LABELS = np.where(TARGET + RNG.normal(size=30) > 0, 1.0, -1.0)
LOSSES = {
    "least_squares": LeastSquares(DESIGN, TARGET),
    "sparse": LeastSquares(scipy.sparse.csr_array(DESIGN * (DESIGN > 0.3)), TARGET),
    "logistic": Logistic(DESIGN, LABELS, 0.3),
    "softmax": Softmax(DESIGN, np.arange(30) % 3, 3, 0.1),
    "quadratic": Quadratic(DESIGN.T @ DESIGN, DESIGN.T @ TARGET),
}
PENALTIES = (Unpenalised(), L1(1.0), NonNegative(), NonNegativeL1(1.0), Box(-1, 0.5))
VALUE, SUPPORT = "optimize.value_enclosure/1", "optimize.support/1"


def decisions(solution):
    return {d.id: d for d in solution.certificate.decisions}


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda p: p.name)
@pytest.mark.parametrize("name", LOSSES)
def test_packing_is_invertible(name, penalty):
    problem = CompositeProblem(LOSSES[name], penalty, gap_tol=1e-6)
    packed = problem.pack()
    again = CompositeProblem.unpack(packed.json, packed.arrays)
    assert digest(again.pack()) == digest(packed)
    assert again.gap_tol == 1e-6


@pytest.mark.parametrize("name", ["least_squares", "softmax", "quadratic"])
def test_the_scale_is_the_same_inside_and_outside_the_driver(name):
    for penalty in (L1(1.0), Box(0.1, 0.5)):
        problem = CompositeProblem(LOSSES[name], penalty)
        with jax.enable_x64(True):
            inside = jax.jit(lambda p=problem: p.reference())()
        outside = host_scale(problem), first_residual(problem)
        np.testing.assert_allclose(outside, inside, rtol=1e-12)


def test_the_scale_is_not_vacuous():
    """At zero nothing is certified: the promise is a small share of what can be won."""
    for name in LOSSES:
        problem = CompositeProblem(LOSSES[name], L1(0.1))
        zero = problem.candidate(coefficients=np.zeros(problem.loss.variables))
        assert not decisions(lm.certify(problem, zero))[VALUE].holds, name


def test_an_exact_answer_to_a_trivial_problem_is_certified():
    """y = 0 and strength above the largest slope: x = 0, with a gap of zero."""
    for problem in (
        CompositeProblem(LeastSquares(DESIGN, np.zeros(30)), L1(1.0)),
        CompositeProblem(LeastSquares(DESIGN, TARGET), L1(1e3)),
        CompositeProblem(Quadratic(np.eye(6), np.zeros(6))),
    ):
        found = lm.certify(problem, problem.candidate(coefficients=np.zeros(6)))
        assert found.certified, str(found)


def test_a_peers_rounded_answer_is_judged_for_what_it_is():
    """scikit-learn's Lasso: value and support certified; a perturbed one refused."""
    from sklearn.linear_model import Lasso

    problem = CompositeProblem(LOSSES["least_squares"], L1(6.0))
    peer = Lasso(alpha=6.0 / 30, fit_intercept=False, tol=1e-12, max_iter=10**5)
    x = peer.fit(DESIGN, TARGET).coef_
    good = lm.certify(problem, problem.candidate(coefficients=x))
    assert good.certified
    assert decisions(good)[SUPPORT].figures["undecided"] == 0
    worse = np.where(x == 0, 1e-9, x)
    bad = decisions(lm.certify(problem, problem.candidate(coefficients=worse)))
    assert not bad[SUPPORT].holds


def test_rank_deficiency_withholds_the_value_and_asks_for_stationarity():
    """Separable in one direction: no minimiser, so no bound; said, not guessed."""
    design = np.hstack([DESIGN, DESIGN[:, :1]])  # twice the same column
    problem = CompositeProblem(Logistic(design, LABELS))
    found = lm.certify(problem, problem.candidate(coefficients=np.zeros(7)))
    assert VALUE in {w.id for w in found.certificate.withheld}
    assert not decisions(found)["optimize.stationarity/1"].holds


def test_unpack_names_what_is_missing_or_too_much():
    arrays = {"design": DESIGN, "target": TARGET}
    for parameters, field in (
        ({"penalty": "l1"}, "strength"),
        ({"strength": 1.0, "penalty": "l2"}, "penalty"),
        ({"loss": "hinge"}, "loss"),
    ):
        with pytest.raises(InvalidProblem, match=rf"\.{field}: "):
            CompositeProblem.unpack(parameters, arrays)
    with pytest.raises(InvalidProblem, match=r"\.design: "):
        CompositeProblem.unpack({}, {"target": TARGET})


def lattice(n):
    """n x n grid, unit weights; labels at two corners."""
    step = scipy.sparse.diags_array([np.ones(n - 1)] * 2, offsets=[-1, 1])
    eye = scipy.sparse.eye_array(n)
    weights = scipy.sparse.kron(step, eye) + scipy.sparse.kron(eye, step)
    labels = np.full(n * n, np.nan)
    labels[0], labels[-1] = 1.0, -1.0
    return scipy.sparse.csr_array(weights), labels


def test_graph_labels_are_harmonic():
    weights, labels = lattice(6)
    graph = GraphQuadratic(weights, labels)
    matrix = graph.problem.loss.operator.host()
    solved = scipy.sparse.linalg.spsolve(matrix.tocsc(), graph.problem.loss.linear)
    full = graph.full(solved)
    mean = weights @ full / weights.sum(axis=1)
    np.testing.assert_allclose(full[graph.unknown], mean[graph.unknown], atol=1e-12)
    np.testing.assert_array_equal(full[[0, -1]], [1.0, -1.0])
    found = lm.certify(graph.problem, graph.problem.candidate(coefficients=solved))
    assert found.certified, str(found)


def test_a_large_graph_is_certified_by_its_witness():
    weights, labels = lattice(48)  # 2302 unknowns: not factorised by the judge
    graph = GraphQuadratic(weights, labels)
    matrix = graph.problem.loss.operator.host()
    solved = scipy.sparse.linalg.spsolve(matrix.tocsc(), graph.problem.loss.linear)
    good = lm.certify(graph.problem, graph.problem.candidate(coefficients=solved))
    assert good.certified, str(good)
    solved[100] += 1e-2
    bad = lm.certify(graph.problem, graph.problem.candidate(coefficients=solved))
    assert not decisions(bad)[VALUE].holds


def test_components_without_label_are_dropped_on_request():
    weights = np.kron(np.eye(2), 1 - np.eye(3))
    labels = np.array([5.0, *5 * [np.nan]])
    with pytest.raises(InvalidProblem, match="1 without any, 3 nodes, such as 3"):
        GraphQuadratic(weights, labels)
    graph = GraphQuadratic(weights, labels, unsolvable="drop")
    assert graph.dropped.tolist() == [3, 4, 5]
    full = graph.full(np.array([5.0, 5.0]))
    np.testing.assert_array_equal(full, [5.0, 5.0, 5.0, np.nan, np.nan, np.nan])
