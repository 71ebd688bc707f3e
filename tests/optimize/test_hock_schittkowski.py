"""The small test problems: known optima, by SLSQP; the formulas of CUTEst."""

import functools

import numpy as np
import pytest
from scipy.optimize import minimize

import lemmata as lm
from lemmata.core import InvalidArgument
from lemmata.optimize import (
    EqualityConstrained,
    from_sif2jax,
    hock_schittkowski,
    hock_schittkowski_names,
)
from lemmata.optimize._constrained_checks import evaluation

# Optimal values: closed forms where there is one, else as the collections print them.
KNOWN = {
    "HS6": 0.0,
    "HS7": -(3**0.5),
    "HS9": -0.5,
    "HS26": 0.0,
    "HS27": 0.04,
    "HS28": 0.0,
    "HS39": -1.0,
    "HS40": -0.25,
    "HS42": 28 - 10 * 2**0.5,
    "HS46": 0.0,
    "HS47": 0.0,
    "HS48": 0.0,
    "HS49": 0.0,
    "HS50": 0.0,
    "HS51": 0.0,
    "HS52": 1859 / 349,
    "HS56": -3.456,
    "HS77": 0.24150513,
    "HS78": -2.91970041,
    "HS79": 0.0787768209,
    "HS100LNP": 680.6300573,
    "HS111LNP": -47.76109,
    "BT2": 0.032568200,
    "BT3": 176 / 43,
    "BT5": 961.7151721,
    "BT9": -1.0,
    "BT10": -1.0,
    "BT12": 6.188119,
    "MWRIGHT": None,  # several local minima
    "GENHS28": 0.9271737,
    "MARATOS": -1.0,
    "BYRDSPHR": -4.68330049,
}
SQUARE = {
    "BOOTH": (1, 3),
    "CUBENE": (1, 1),
    "DENSCHNCNE": (1, 1),
    "DENSCHNFNE": (1, 1),
    "GOTTFR": None,
    "HELIXNE": (1, 0, 0),
    "HIMMELBC": (3, 2),
    "HIMMELBE": (1, 1, 1),
    "ZANGWIL3": (0, 0, 0),
}
QUICK = ("HS6", "HS7", "HS28", "HS40", "HS42", "HS48", "HS51", "HS52", "HS79", "BT3")


def slsqp(problem):
    """SciPy's answer, with the judge's derivatives of the recorded operations."""
    packed = problem.pack()
    problem = EqualityConstrained.unpack(packed.json, packed.arrays)

    @functools.cache
    def at(x):
        return evaluation(problem, np.array(x))

    found = minimize(
        lambda x: float(at(tuple(x)).objective.mid),
        problem.x0,
        jac=lambda x: at(tuple(x)).gradient.mid,
        constraints={
            "type": "eq",
            "fun": lambda x: at(tuple(x)).constraint.mid,
            "jac": lambda x: at(tuple(x)).jacobian.mid,
        },
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 100},
    )
    return found.x, float(found.fun)


def test_all_are_listed():
    assert set(hock_schittkowski_names()) == set(KNOWN) | set(SQUARE)
    assert len(hock_schittkowski_names()) >= 20


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in KNOWN],
)
def test_known_optimum_is_found_and_certified(name):
    problem = hock_schittkowski(name)
    x, value = slsqp(problem)
    judged = lm.certify(problem, problem.candidate(x=x))
    assert judged.certified, str(judged)
    if KNOWN[name] is not None:
        # printed values have nine digits; degenerate minima are flat: 1e-7 suffices
        assert value == pytest.approx(KNOWN[name], rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", SQUARE)
def test_square_systems(name):
    problem = hock_schittkowski(name)
    x, _ = slsqp(problem)
    judged = lm.certify(problem, problem.candidate(x=x))
    assert judged.certified, str(judged)
    (reason,) = [
        w.reason
        for w in judged.certificate.withheld
        if w.id == "optimize.strict_minimum/1"
    ]
    assert "m = n" in reason
    if SQUARE[name] is not None:
        np.testing.assert_allclose(x, SQUARE[name], atol=1e-8)  # simple roots


def test_degenerate_minimum_is_not_claimed_strict():
    """HS26: the reduced Hessian vanishes at (1, 1, 1)."""
    problem = hock_schittkowski("HS26")
    judged = lm.certify(problem, problem.candidate(x=np.ones(3)))
    assert judged.certified
    withheld = {w.id for w in judged.certificate.withheld}
    assert {"optimize.strict_minimum/1", "optimize.kkt_exists/1"} <= withheld


def test_unknown_name_gets_the_nearest():
    with pytest.raises(InvalidArgument, match="HS7"):
        hock_schittkowski("HS72")


@pytest.fixture(scope="session")
def sif2jax():
    return pytest.importorskip("sif2jax")


# Not in sif2jax 0.0.8, or typed otherwise there: MARATOS has another constant in f,
# HELIXNE starts on the branch cut of atan2.
ELSEWHERE = ("CUBENE", "GENHS28", "HS100LNP", "MWRIGHT", "ZANGWIL3")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_formulas_are_those_of_cutest(sif2jax):
    known = {problem.name: problem for problem in sif2jax.problems}
    rng = np.random.default_rng(0)
    for name in hock_schittkowski_names():
        if name in (*ELSEWHERE, "HELIXNE"):
            continue
        ours, theirs = hock_schittkowski(name), from_sif2jax(known[name])
        # HS56's start is printed with nine digits
        np.testing.assert_allclose(theirs.x0, ours.x0, atol=1e-8, err_msg=name)
        x = ours.x0 + 0.1 * rng.normal(size=ours.x0.size)
        one, two = evaluation(ours, x), evaluation(theirs, x)
        shift = 1e-6 if name == "MARATOS" else 0.0
        close = {"rtol": 1e-12, "atol": 1e-12, "err_msg": name}
        np.testing.assert_allclose(
            one.objective.mid + shift, two.objective.mid, **close
        )
        np.testing.assert_allclose(one.constraint.mid, two.constraint.mid, **close)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_cutest_problems_by_name(sif2jax):
    problem = from_sif2jax("ORTHREGB")
    assert problem.sizes == (27, 6)
    with pytest.raises(InvalidArgument, match="the name of a problem"):
        from_sif2jax("NOSUCH")
    for name, reason in (("HS21", "bounds"), ("HS10", "inequalities")):
        with pytest.raises(InvalidArgument, match=reason):
            from_sif2jax(name)


def test_what_is_no_problem_is_refused():
    with pytest.raises(InvalidArgument, match="a problem of sif2jax"):
        from_sif2jax(3)
