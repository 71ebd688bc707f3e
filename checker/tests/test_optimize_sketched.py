"""Rules of Newton runs, against fractions, by programs written by hand."""

from fractions import Fraction as F

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed

KIND = "optimize.equality_constrained/1"
DESCENT, PROJECTION = "optimize.descent/1", "optimize.projection/1"
RATE = "optimize.local_rate/1"
# f = x0^4 + x0 x1 + x1^2, c = (x0^2 + x1 - 3): polynomials, so that fractions decide
NODES = [
    ["variable"],
    ["view", 0, 0, [], []],
    ["view", 0, 1, [], []],
    ["power", 1, 4],
    ["multiply", 1, 2],
    ["power", 2, 2],
    ["add", 3, 4],
    ["add", 6, 5],
    ["power", 1, 2],
    ["add", 8, 2],
    ["number", 3.0],
    ["subtract", 9, 10],
    ["view", 11, 0, [0], [1]],
]
PROGRAM = {"nodes": NODES, "objective": 7, "constraint": 12}


def exact(point):
    """f, c, grad_x L, H, G at (x0, x1, lambda), in fractions."""
    a, b, y = (F(float(v)) for v in point)
    f, c = a**4 + a * b + b**2, a**2 + b - 3
    slope = (4 * a**3 + b + 2 * a * y, a + 2 * b + y)
    h = ((12 * a**2 + 2 * y, F(1)), (F(1), F(2)))
    return f, c, slope, h, (2 * a, F(1))


def merit(point, eta1, eta2):
    f, c, slope, _, _ = exact(point)
    return f + F(float(point[2])) * c + eta1 / 2 * c**2 + eta2 / 2 * dot(slope, slope)


def dot(a, b):
    return sum((p * q for p, q in zip(a, b, strict=True)), F(0))


def slacks(z, after, alpha, eta1, eta2, beta):
    """Both slacks of one step, as the rule defines them."""
    _, c, slope, h, g = exact(z)
    moved = [F(float(q)) - F(float(p)) for p, q in zip(z, after, strict=True)]
    curved = [dot(row, slope) for row in h]
    gradient = [slope[i] + eta2 * curved[i] + eta1 * g[i] * c for i in range(2)]
    gradient.append(c + eta2 * dot(g, slope))
    along, size = dot(gradient, moved), dot(slope, slope) + c**2
    descent = (along / alpha + eta2 / 2 * size) / size
    rise = merit(after, eta1, eta2) - merit(z, eta1, eta2)
    return descent, (rise - beta * along) / abs(along)


def newton(z):
    """An exact Newton step, in float64."""
    _, c, slope, h, g = exact(z)
    k = np.zeros((3, 3))
    k[:2, :2], k[2, :2], k[:2, 2] = np.array(h, float), g, np.array(g, float)
    rhs = -np.array([*map(float, slope), float(c)])
    return k, rhs, np.linalg.solve(k, rhs)


def case(points, alphas=None, start="warm"):
    points = np.asarray(points, np.float64)
    steps = len(points) - 1
    arrays = {"x0": points[0, :2].copy(), "multipliers0": points[0, 2:].copy()}
    witness = {
        "points": points,
        "alphas": np.ones(steps) if alphas is None else np.asarray(alphas, float),
        "eta1": np.full(steps, 1.0),
        "eta2": np.full(steps, 0.1),
    }
    return Case(
        Packed(KIND, {"program": PROGRAM}, arrays),
        {"point": points[-1, :2].copy(), "multipliers": points[-1, 2:].copy()},
        witness,
        {"beta": 0.1, "start": start},
    )


coordinate = st.floats(-2, 2).map(lambda v: round(v, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(coordinate, coordinate, coordinate),
    st.tuples(coordinate, coordinate, coordinate),
    st.integers(0, 40),
    st.integers(0, 3),
)
def test_bound_holds_in_exact_arithmetic(z, d, shrink, halvings):
    """Steps of every size, down to those whose decrease drowns in rounding."""
    alpha = 0.5**halvings
    after = np.array(z) + alpha * 2.0**-shrink * np.array(d)
    size = sum(v * v for v in exact(z)[2]) + exact(z)[1] ** 2
    if np.array_equal(after, z) or size == 0:
        return
    found = decide(DESCENT, 0.0, case([z, after], [alpha]))
    if not np.isfinite(found.measured):
        return  # a slope that may be zero
    one, two = slacks(z, after, F(alpha), F(1.0), F(0.1), F(0.1))
    assert F(found.figures["descent"]) >= one
    assert F(found.figures["armijo"]) >= two
    assert found.holds == (found.measured <= 0)
    # and not by much: the enclosure is good for a decision
    if shrink <= 20 and abs(two) < 100:
        assert float(F(found.figures["armijo"]) - two) <= 1e-6 * (1 + abs(two)) + 1e-4


def run(count=6):
    """Exact Newton from a good start: a run whose every step descends."""
    points = [np.array([-1.1, 1.7, -2.0])]
    for _ in range(count):
        points.append(points[-1] + newton(points[-1])[2])
    return np.array(points)


def residual(z):
    return float(dot(exact(z)[2], exact(z)[2]) + exact(z)[1] ** 2) ** 0.5


def test_run_of_newton_holds_to_the_last_digits():
    points = run()
    kept = [k for k in range(len(points)) if residual(points[k]) > 1e-9]
    points = points[: kept[-1] + 2]
    assert residual(points[-2]) < 1e-3  # its decrease is far below u |f|
    found = decide(DESCENT, 0.0, case(points, start="problem"))
    assert found.holds, found
    for z, after in zip(points[:-1], points[1:], strict=True):
        assert max(slacks(z, after, F(1), F(1.0), F(0.1), F(0.1))) < 0


def test_forged_runs_are_refused():
    points = run(3)
    good = case(points)
    assert decide(DESCENT, 0.0, good).holds
    uphill = points.copy()
    uphill[1] = 2 * points[0] - points[1]  # the step taken backwards
    assert not decide(DESCENT, 0.0, case(uphill)).holds
    assert not decide(DESCENT, 0.0, case(points[::-1])).holds
    for changed in (
        {"alphas": np.full(3, 0.75)},
        {"alphas": np.full(3, 2.0)},
        {"alphas": np.zeros(3)},
        {"alphas": np.ones(2)},
        {"eta1": np.array([1.0, 0.5, 1.0])},
        {"eta2": np.array([0.1, 0.2, 0.2])},
        {"eta1": np.full(3, -1.0)},
        {"eta1": np.full(3, np.nan)},
        {"points": points.astype(np.float32)},
        {"points": points[:, :2]},
    ):
        forged = case(points)
        forged.witness |= changed
        assert not decide(DESCENT, 0.0, forged).holds, changed
    answer = case(points)
    answer.value["point"][0] += 1e-12
    assert not decide(DESCENT, 0.0, answer).holds
    elsewhere = case(points, start="problem")
    elsewhere.problem.arrays["x0"][0] += 1e-12
    assert not decide(DESCENT, 0.0, elsewhere).holds
    for parameters in ({}, {"beta": 0.9, "start": "warm"}, {"beta": 0.1}):
        bare = case(points)
        bare.parameters = parameters
        assert not decide(DESCENT, 0.0, bare).holds, parameters


def projected(seed=0, scale=(1.0, 0.5, 2.0), weights=False):
    """A system at a point and two projections, computed in float64."""
    rng = np.random.default_rng(seed)
    z = np.array([0.3, 1.1, 0.4])
    k, rhs, _ = newton(z)
    d = np.asarray(scale)
    scaled, b = d[:, None] * k * d, d * rhs
    points, sketches = [np.zeros(3)], []
    for _ in range(2):
        s = rng.normal(size=(3, 2))
        m = scaled @ s
        gap = m.T @ points[-1] - s.T @ b
        points.append(points[-1] - m @ np.linalg.solve(m.T @ m, gap))
        sketches.append(s)
    witness = {
        "matrix": k,
        "scale": d,
        "rhs": rhs,
        "iterate": z,
        "points": np.array(points),
        "sketches": np.array(sketches),
    }
    if weights:
        norms = np.sum(scaled**2, axis=1)
        witness["probabilities"] = norms / norms.sum()
    found = case(run(1))
    found.witness, found.parameters = witness, {}
    return found


@pytest.mark.parametrize("weights", [False, True])
def test_projections_hold_and_are_measured_to_rounding(weights):
    for seed in range(5):
        found = decide(PROJECTION, 1e-12, projected(seed, weights=weights))
        assert found.holds, found
        assert ("identity" in found.figures) == weights


def test_mismatch_is_what_was_put_in():
    for size in (1e-10, 1e-6, 1e-2):
        forged = projected()
        step = forged.witness["points"]
        largest = np.max(np.linalg.norm(step, axis=1))
        # the last point alone: both steps may be drawn, one of them must see it
        step[2] += size * largest * np.array([0.6, 0.0, 0.8])
        seen = decide(PROJECTION, 1e-12, forged)
        assert not seen.holds
        assert seen.figures["projection"] == pytest.approx(size, rel=0.05)


def test_forged_systems_are_refused():
    def forged(**changed):
        found = projected(weights="probabilities" in changed)
        found.witness |= changed
        return decide(PROJECTION, 1e-8, found)

    base = projected().witness
    matrix = base["matrix"]
    lower = matrix.copy()
    lower[0, 0] -= 1.0
    lower[1, 1] -= 1.0  # H - I: modified the wrong way
    skew = matrix.copy()
    skew[0, 1] += 1e-3
    corner = matrix.copy()
    corner[2, 2] = 1e-3
    diagonal = matrix.copy()
    diagonal[0, 0] += 1e-3
    sketches = base["sketches"]
    for changed in (
        {"matrix": lower},
        {"matrix": skew},
        {"matrix": corner},
        {"matrix": diagonal},
        {"rhs": -base["rhs"]},
        {"rhs": base["rhs"] + 1e-3},
        {"scale": np.array([1.0, 0.5, 3.0])},
        {"scale": np.array([1.0, 0.5, 4.0])},
        {"iterate": base["iterate"] + 1e-3},
        {"points": base["points"][::-1].copy()},
        {"sketches": 0 * sketches},
        {"sketches": sketches[::-1].copy()},
        {"sketches": sketches[:1]},
        {"sketches": sketches + np.nan},
        {"probabilities": np.full(3, 1 / 3)},
        {"probabilities": np.array([1.5, -0.5, 0.0])},
    ):
        assert not forged(**changed).holds, changed
    shifted = matrix.copy()
    shifted[:2, :2] += 0.5 * np.eye(2)  # B = H + t I is the method's own
    mended = projected()
    mended.witness["matrix"] = shifted
    assert decide(PROJECTION, 1e-8, mended).figures["system"] < 1e-12


def rate(residual, superlinear=True, accuracy=1e-2, trace=None):
    found = case(run(1))
    residual = np.asarray(residual, float)
    found.witness = {
        "residual": residual,
        "accuracy": np.full(len(residual) - 1, accuracy),
    }
    found.parameters = {"superlinear": superlinear}
    found.trace = {"residual": residual if trace is None else np.asarray(trace)}
    return decide(RATE, 1.0, found)


def test_rates_of_sequences_whose_rate_is_known():
    quadratic = [1e-1, 1e-2, 1e-4, 1e-8]
    found = rate(quadratic)
    assert found.holds
    assert found.measured == pytest.approx(1e-2)  # 1e-4 over 1e-2
    assert not rate([1e-1, 1e-2, 1e-3, 1e-4]).measured < 1 - 1e-9  # linear
    assert not rate([1e-4, 1e-6, 1e-7]).holds  # slower and slower
    assert not rate([1.0, 2.0, 2.1]).holds  # no fall at all
    assert rate([1e-1, 1e-3, 1e-5], superlinear=False, accuracy=0.02).holds
    assert not rate([1e-1, 1e-2, 9e-3], superlinear=False, accuracy=0.02).holds
    assert rate(quadratic, superlinear=False).holds


def test_residuals_must_be_those_of_the_run():
    tail = [1e-1, 1e-2, 1e-4]
    assert rate(tail, trace=[3.0, *tail]).holds
    assert not rate(tail, trace=[*tail, 1e-3]).holds
    assert not rate([1e-1, 1e-2]).holds
    assert not rate([1e-1, -1e-2, 1e-4]).holds
    assert not rate(tail, superlinear=None).holds
