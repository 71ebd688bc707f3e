"""The bounds hold in exact arithmetic, are tight, and forged answers are refused."""

import math

import numpy as np
import pytest
import scipy.sparse
from checker.tests.exact_composite import gradient, minimiser, objective, packed, terms
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide

VALUE, SUPPORT = "optimize.value_enclosure/1", "optimize.support/1"
STATIONARITY = "optimize.stationarity/1"
LOSSES = ("least_squares", "logistic", "softmax", "quadratic")
PENALTIES = ("unpenalised", "l1", "non_negative", "non_negative_l1", "box")


def judge(problem, x, claim=VALUE, promised=1e300, witness=None):
    value = {"coefficients": x, "support": x != 0}
    return decide(claim, promised, Case(problem, value, witness or {}))


def instance(loss, penalty, seed, m=8, n=4, l2=0.0):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(m, n))
    parameters = {"strength": 0.7} if "l1" in penalty else {}
    parameters |= {"lower": -0.3, "upper": 0.4} if penalty == "box" else {}
    if loss == "quadratic":
        gram = design.T @ design
        arrays = {"operator": (gram + gram.T) / 2, "linear": rng.normal(size=n)}
        return packed(loss, penalty, arrays, **parameters)
    target = rng.normal(size=m)
    if loss == "logistic":
        target = np.where(np.arange(m) % 2, 1.0, -1.0)  # both labels, not separable
        parameters["l2"] = l2
    if loss == "softmax":
        target = (np.arange(m) % 3).astype(float)
        parameters |= {"l2": l2, "classes": 3}
    return packed(loss, penalty, {"design": design, "target": target}, **parameters)


def size(problem):
    if problem.json["loss"] == "quadratic":
        return problem.arrays["linear"].size
    return problem.arrays["design"].shape[1] * problem.json.get("classes", 1)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(LOSSES),
    st.sampled_from(PENALTIES),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-9, 1e-3, 1.0]),
    st.sampled_from([0.0, 0.5]),
)
def test_gap_is_never_below_the_loss_of_value(loss, penalty, seed, away, l2):
    """F(x) - F(z) for a good z, in balls: any z shows a lower bound on the gap."""
    problem = instance(loss, penalty, seed, l2=l2)
    n = size(problem)
    best = minimiser(problem, n, 800)
    _, lower, upper, _ = terms(problem, n)
    rng = np.random.default_rng(seed)
    x = np.clip(best + away * rng.normal(size=n) * (rng.random(n) < 0.7), lower, upper)
    gap = judge(problem, x).measured
    assert objective(problem, x) - objective(problem, best) <= gap or math.isinf(gap)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_gap_is_tight_at_the_minimiser(loss, penalty, l2):
    problem = instance(loss, penalty, 3, m=40, l2=l2)
    x = minimiser(problem, size(problem))
    gap = judge(problem, x).measured
    # float64 proximal gradients stop at about u * F; the bound must see that.
    if loss == "softmax" and penalty == "non_negative" and l2 == 0:
        return  # a shift of the classes is a flat direction: no bound exists at x
    assert gap < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_gap_shrinks_with_the_distance(loss, penalty):
    """Quadratic in the distance where the minimiser is regular: no vacuous bound."""
    problem = instance(loss, penalty, 5, m=40, l2=0.5)
    x = minimiser(problem, size(problem))
    _, lower, upper, _ = terms(problem, x.size)
    direction = np.random.default_rng(0).normal(size=x.size) * (x != 0)
    for away in (1e-2, 1e-3):
        moved = np.clip(x + away * direction, lower, upper)
        true = float(objective(problem, moved) - objective(problem, x))
        assert true <= judge(problem, moved).measured <= 100 * true + 40 * away


@pytest.mark.parametrize("loss", ["least_squares", "logistic", "softmax"])
def test_sparse_and_dense_designs_are_judged_alike(loss):
    problem = instance(loss, "l1", 7, m=30, n=6, l2=0.1)
    design = problem.arrays["design"] * (np.arange(6) % 2)  # columns of zeros
    problem.arrays["design"] = design
    x = minimiser(problem, size(problem))
    dense = [judge(problem, x, claim) for claim in (VALUE, SUPPORT, STATIONARITY)]
    rows = scipy.sparse.csr_array(design)
    arrays = {"target": problem.arrays["target"], "design_data": rows.data}
    arrays |= {
        "design_indices": rows.indices.astype(np.int64),
        "design_indptr": rows.indptr.astype(np.int64),
    }
    sparse = problem._replace(arrays=arrays, json=problem.json | {"columns": 6})
    for claim, one in zip((VALUE, SUPPORT, STATIONARITY), dense, strict=True):
        other = judge(sparse, x, claim)
        assert other.measured == pytest.approx(one.measured, rel=1e-2, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(LOSSES),
    st.sampled_from(["l1", "non_negative", "non_negative_l1"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-6, 1e-3, 3e-2]),
)
def test_certified_zeros_are_zero(loss, penalty, seed, away):
    """Against a minimiser of high accuracy; perturbed answers certify less, never
    wrongly."""
    from lemmata_checker.rules import optimize_composite as rules

    problem = instance(loss, penalty, seed, m=12, n=5, l2=0.5)
    best = minimiser(problem, size(problem), 1000)
    rng = np.random.default_rng(seed)
    x = np.where(best != 0, best + away * rng.normal(size=best.size), 0.0)
    x = np.maximum(x, 0.0) if penalty.startswith("non") else x
    case = Case(problem, {"coefficients": x, "support": x != 0})
    with np.errstate(all="ignore"):
        at, found = rules.setting(case), rules.bound(case)
    zero = rules.zeros(at, found)
    assert np.all(np.abs(best[zero]) < 1e-9)
    other = rules.nonzeros(case, found, zero)
    # Where a zero belongs to a degenerate coordinate, best is off by sqrt(u).
    assert np.all(np.abs(best[other]) > 0)
    assert not np.any(zero & other)


def lasso():
    problem = instance("least_squares", "l1", 11, m=60, n=20)
    design = problem.arrays["design"]
    problem.arrays["target"] = design[:, :4] @ np.arange(1.0, 5.0)
    problem.json["strength"] = 25.0
    return problem, minimiser(problem, 20)


def test_support_is_certified_and_forgeries_are_refused():
    problem, x = lasso()
    assert 2 <= np.sum(x != 0) <= 15
    found = judge(problem, x, SUPPORT, 0.0)
    assert found.holds, found
    for j in range(x.size):
        forged = x.copy()
        forged[j] = 0.0 if x[j] else 1e-3 * np.max(np.abs(x))
        assert not judge(problem, forged, SUPPORT, 0.0).holds, j
        promised = 2 * judge(problem, x).measured
        assert not judge(problem, forged, VALUE, promised).holds, j


def test_a_stated_support_must_be_where_x_is_not_zero():
    problem, x = lasso()
    for j in range(x.size):
        forged = x != 0
        forged[j] = ~forged[j]
        for claim in (VALUE, SUPPORT, STATIONARITY):
            case = Case(problem, {"coefficients": x, "support": forged})
            assert not decide(claim, 1e300, case).holds


def test_a_thresholded_zero_is_not_an_exact_zero():
    problem, x = lasso()
    x = np.where(x == 0, 1e-12, x)
    found = judge(problem, x, SUPPORT, 20.0)
    assert not found.holds
    assert "zero in every minimiser" in found.detail


def test_stationarity_is_the_distance_to_the_subdifferential():
    for loss in LOSSES:
        for penalty in PENALTIES:
            problem = instance(loss, penalty, 2, m=30, l2=0.1)
            x = minimiser(problem, size(problem))
            x = x + np.where(x != 0, 1e-3, 0.0) * (penalty != "box")
            g = gradient(problem, x)
            strength, lower, upper, _ = terms(problem, x.size)
            worst = 0.0
            for gj, xj, s, lo, hi in zip(g, x, strength, lower, upper, strict=True):
                low, high = (-s, s) if xj == 0 else (s * np.sign(xj),) * 2
                low, high = (-np.inf if xj == lo else low, np.inf if xj == hi else high)
                worst = max(worst, -gj - high, low + gj)
            found = judge(problem, x, STATIONARITY).measured
            assert worst <= found <= worst + 1e-11, (loss, penalty)


def test_outside_the_bounds_nothing_holds():
    problem = instance("least_squares", "non_negative", 1, m=20)
    x = minimiser(problem, 4)
    x[0] = -1e-300
    for claim in (VALUE, STATIONARITY):
        assert not judge(problem, x, claim).holds


def test_indefinite_and_singular_quadratics_have_no_bound():
    operator = np.diag([1.0, 0.0])
    arrays = {"operator": operator, "linear": np.zeros(2)}
    assert not judge(packed("quadratic", "unpenalised", arrays), np.zeros(2)).holds
    arrays = {"operator": np.diag([1.0, -1.0]), "linear": np.zeros(2)}
    boxed = packed("quadratic", "box", arrays, lower=-1.0, upper=1.0)
    # min is -1/2 at (0, +-1); a saddle point at 0 must not pass for it
    assert judge(boxed, np.zeros(2)).measured >= 0.5


def path_graph(n):
    operator = scipy.sparse.diags_array(
        [np.full(n - 1, -1.0), np.full(n, 2.0), np.full(n - 1, -1.0)],
        offsets=[-1, 0, 1],
    ).tocsr()
    arrays = {
        "operator_data": operator.data,
        "operator_indices": operator.indices.astype(np.int64),
        "operator_indptr": operator.indptr.astype(np.int64),
        "linear": np.ones(n),
    }
    return operator, packed("quadratic", "unpenalised", arrays, columns=n)


def test_a_large_sparse_quadratic_is_judged_by_its_witness():
    n = 2500
    operator, problem = path_graph(n)
    v = scipy.sparse.linalg.spsolve(operator.tocsc(), np.ones(n))
    x = v * (1 + 1e-9 * np.sin(np.arange(n)))
    true = 0.5 * (x - v) @ (operator @ (x - v))
    assert not judge(problem, x).holds  # 2500 rows are not factorised by the judge
    step = scipy.sparse.linalg.spsolve(operator.tocsc(), np.ones(n) - operator @ x)
    witness = {"positive_vector": v, "newton_step": step}
    found = judge(problem, x, witness=witness).measured
    assert true <= found <= 1.01 * true
    for forged in (-v, v * np.nan, v[:-1]):
        wrong = witness | {"positive_vector": forged}
        assert not judge(problem, x, witness=wrong).holds
    worse = judge(problem, x, witness=witness | {"newton_step": -step})
    assert worse.measured >= true


@pytest.mark.parametrize(
    "change",
    [
        {"loss": "hinge"},
        {"penalty": "none"},
        {"strength": -1.0},
        {"strength": math.nan},
        {"strength": "1"},
        {"columns": 3.5},
    ],
)
def test_malformed_problems_never_hold(change):
    problem, x = lasso()
    assert judge(problem, x).holds
    assert not judge(problem._replace(json=problem.json | change), x).holds


def test_malformed_arrays_never_hold():
    problem, x = lasso()
    for name, array in problem.arrays.items():
        for wrong in (array[:-1], array * np.nan, array.astype(np.float32)):
            forged = problem._replace(arrays=problem.arrays | {name: wrong})
            assert not judge(forged, x).holds, name
    assert not judge(problem, x[:-1]).holds
    assert not judge(problem, x.astype(np.float32)).holds
