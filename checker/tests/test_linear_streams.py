"""Residuals of streams: bounds against exact fractions, forgeries, hostile arrays."""

import copy
import math
from fractions import Fraction as F

import flint
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker.case import Case, decide
from lemmata_checker.packed import Packed

ID = "linear.sequence_residual/1"
CRITERIA = ("initial", "rhs", "absolute")


def dense_csr(matrices):
    """Every entry stored, so that patterns need no thought here."""
    n = matrices.shape[-1]
    return {
        "operator_data": matrices.reshape(*matrices.shape[:-2], n * n),
        "operator_indices": np.tile(np.arange(n), n),
        "operator_indptr": np.arange(0, n * n + 1, n),
    }


def spd(rng, *shape):
    a = rng.normal(size=shape)
    return a + np.swapaxes(a, -1, -2) + 4 * shape[-1] * np.eye(shape[-1])


def sequence(seed, criterion="rhs", warm=False, noise=1e-9, steps=3, n=4):
    rng = np.random.default_rng(seed)
    matrices, rhs = spd(rng, steps, n, n), rng.normal(size=(steps, n))
    x = np.linalg.solve(matrices, rhs[..., None])[..., 0]
    x = x + noise * rng.normal(size=x.shape)
    fields = {"criterion": criterion, "rtol": 1e-8, "warm_start": warm}
    packed = Packed("linear.sequence/1", fields, dense_csr(matrices) | {"rhs": rhs})
    return Case(packed, {"solutions": x})


def shifted(seed, criterion="rhs", noise=1e-9, steps=3, n=4):
    rng = np.random.default_rng(seed)
    matrix, rhs = spd(rng, n, n), rng.normal(size=(steps, n))
    shifts = rng.uniform(0, 3, size=steps)
    whole = matrix + shifts[:, None, None] * np.eye(n)
    x = np.linalg.solve(whole, rhs[..., None])[..., 0]
    x = x + noise * rng.normal(size=x.shape)
    arrays = dense_csr(matrix) | {"rhs": rhs, "shifts": shifts}
    fields = {"criterion": criterion, "rtol": 1e-8}
    return Case(Packed("linear.shifted_sequence/1", fields, arrays), {"solutions": x})


def heat(seed, criterion="rhs", warm=True, noise=1e-9, source="bump", nx=4, steps=3):
    rng = np.random.default_rng(seed)
    n = (nx - 1) ** 2
    fields = {
        "criterion": criterion,
        "rtol": 1e-8,
        "nx": nx,
        "dt": 0.01,
        "warm_start": warm,
        "bump_radius": None,
        "bump_height": None,
    }
    arrays = {"diffusion": rng.uniform(0, 5, steps), "initial": rng.uniform(size=n)}
    if source == "bump":
        arrays["bump_centres"] = rng.uniform(size=(steps, 2))
        fields |= {"bump_radius": 0.4, "bump_height": 30.0}
    elif source == "stored":
        arrays["forcing"] = rng.normal(size=(steps, n))
    case = Case(Packed("linear.heat_equation/1", fields, arrays), {})
    last, out = [F(v) for v in arrays["initial"].tolist()], []
    for t in range(steps):
        matrix, rhs = heat_system(case.problem, last, t)
        floats = np.array([[float(v) for v in row] for row in matrix])
        x = np.linalg.solve(floats, [float(v) for v in rhs])
        out.append(x + noise * rng.normal(size=n))
        last = [F(v) for v in out[-1].tolist()]
    case.value = {"solutions": np.array(out)}
    return case


def laplacian(nx):
    side = nx - 1
    k = [[0] * side**2 for _ in range(side**2)]
    for i in range(side):
        for j in range(side):
            k[i * side + j][i * side + j] = 4
            for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                if 0 <= a < side and 0 <= b < side:
                    k[i * side + j][a * side + b] = -1
    return k


def heat_system(problem, last, t):
    """Exact matrix and right-hand side; the bump to 60 digits."""
    fields, arrays, nx = problem.json, problem.arrays, problem.json["nx"]
    kappa = F(float(arrays["diffusion"][t]))
    weight = F(fields["dt"]) * kappa * nx**2 / 2
    k, n = laplacian(nx), (nx - 1) ** 2
    matrix = [[weight * k[i][j] + (i == j) for j in range(n)] for i in range(n)]
    source = [F(0)] * n
    if "forcing" in arrays:
        source = [F(v) for v in arrays["forcing"][t].tolist()]
    if "bump_centres" in arrays:
        cx, cy = (F(v) for v in arrays["bump_centres"][t].tolist())
        radius, height = F(fields["bump_radius"]), F(fields["bump_height"])
        for i in range(n):
            x, y = F(i // (nx - 1) + 1, nx), F(i % (nx - 1) + 1, nx)
            s = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
            source[i] = height * exact_exp(1 - 1 / (1 - s)) if s < 1 else F(0)
    rhs = [
        last[i]
        - weight * sum(k[i][j] * last[j] for j in range(n))
        + F(fields["dt"]) * source[i]
        for i in range(n)
    ]
    return matrix, rhs


def exact_exp(z):
    before, flint.ctx.prec = flint.ctx.prec, 220
    try:
        ball = flint.arb(flint.fmpq(z.numerator, z.denominator)).exp()
        mantissa, exponent = ball.mid().man_exp()
        return F(int(mantissa)) * F(2) ** int(exponent)
    finally:
        flint.ctx.prec = before


def systems(case):
    """(A, b, x_0) per system in exact fractions, written out again."""
    problem, solutions = case.problem, case.value["solutions"]
    steps, n = solutions.shape
    zero = [F(0)] * n
    for t in range(steps):
        before = [F(v) for v in solutions[t - 1].tolist()] if t else zero
        if "initial" in problem.arrays:
            if t == 0:
                before = [F(v) for v in problem.arrays["initial"].tolist()]
            matrix, rhs = heat_system(problem, before, t)
        else:
            data = problem.arrays["operator_data"]
            data = data if data.ndim == 1 else data[t]
            matrix = [[F(v) for v in row] for row in data.reshape(n, n).tolist()]
            if "shifts" in problem.arrays:
                for i in range(n):
                    matrix[i][i] += F(float(problem.arrays["shifts"][t]))
            rhs = [F(v) for v in problem.arrays["rhs"][t].tolist()]
        yield matrix, rhs, before if problem.json.get("warm_start") else zero


def exact_ratio(case):
    worst = F(0)
    for (matrix, rhs, start), x in zip(
        systems(case), case.value["solutions"].tolist(), strict=True
    ):
        left, first = (
            sum(
                (b - sum(a * v for a, v in zip(row, vector, strict=True))) ** 2
                for row, b in zip(matrix, rhs, strict=True)
            )
            for vector in ([F(v) for v in x], start)
        )
        criterion = case.problem.json["criterion"]
        reference = {
            "initial": first,
            "rhs": sum(b * b for b in rhs),
            "absolute": F(1),
        }[criterion]
        worst = max(worst, left / reference)
    return worst


def cases():
    return st.tuples(
        st.sampled_from(["sequence", "warm", "shifted", "bump", "stored", "none"]),
        st.integers(0, 2**32 - 1),
        st.sampled_from(CRITERIA),
        st.sampled_from([0.0, 1e-12, 1e-9, 1e-3]),
    )


def build(kind, seed, criterion, noise):
    if kind == "shifted":
        return shifted(seed, criterion, noise)
    if kind in ("bump", "stored", "none"):
        return heat(seed, criterion, seed % 2 == 0, noise, kind)
    return sequence(seed, criterion, kind == "warm", noise)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_measured_is_above_the_exact_ratio_and_near_it(drawn):
    case = build(*drawn)
    decision = decide(ID, 1.0, case)
    exact = exact_ratio(case)
    assert math.isfinite(decision.measured), decision.detail
    assert exact <= F(decision.measured) ** 2
    # rounding is a few hundred u of |A||x| over a reference that is not tiny here
    assert decision.measured <= float(exact) ** 0.5 * (1 + 1e-10) + 1e-11


@pytest.mark.parametrize("kind", ["sequence", "warm", "shifted", "bump", "stored"])
def test_every_altered_number_is_noticed(kind):
    """Answers of 1e-12; each number of problem and answer is moved by 1e-3."""
    case = build(kind, 11, "rhs", 0.0)
    assert decide(ID, 1e-8, case).holds
    for group in ("problem", "value"):
        arrays = case.problem.arrays if group == "problem" else case.value
        for name, array in arrays.items():
            if array.dtype.kind != "f":
                continue
            for place in range(array.size):
                changed = array.copy()
                changed.reshape(-1)[place] += 1e-3
                forged = copy.copy(case)
                if group == "problem":
                    forged.problem = case.problem._replace(
                        arrays=arrays | {name: changed}
                    )
                else:
                    forged.value = dict(arrays) | {name: changed}
                assert not decide(ID, 1e-8, forged).holds, (name, place)


@pytest.mark.parametrize("field", ["dt", "bump_radius", "bump_height", "nx"])
def test_altered_formula_is_noticed(field):
    case = heat(3, noise=0.0)
    altered = case.problem.json[field] + (1 if field == "nx" else 1e-3)
    forged = Case(
        case.problem._replace(json=case.problem.json | {field: altered}), case.value
    )
    assert not decide(ID, 1e-8, forged).holds


def test_zero_system_needs_a_zero_answer():
    case = sequence(5, steps=2)
    arrays = dict(case.problem.arrays)
    arrays["rhs"] = np.zeros_like(arrays["rhs"])
    zero = Case(case.problem._replace(arrays=arrays), {"solutions": np.zeros((2, 4))})
    decision = decide(ID, 0.0, zero)
    assert decision.holds
    assert decision.measured == 0
    tiny = np.zeros((2, 4))
    tiny[1, 2] = 1e-300
    assert not decide(ID, 1.0, Case(zero.problem, {"solutions": tiny})).holds


HOSTILE = {
    "criterion": lambda p: p.json.update(criterion="loose"),
    "no criterion": lambda p: p.json.pop("criterion"),
    "warm_start": lambda p: p.json.update(warm_start="yes"),
    "nan": lambda p: p.arrays.update(rhs=p.arrays["rhs"] * np.nan),
    "float32": lambda p: p.arrays.update(rhs=p.arrays["rhs"].astype("f4")),
    "indices": lambda p: p.arrays.update(operator_indices=np.full(16, 9)),
    "negative": lambda p: p.arrays.update(operator_indices=np.full(16, -1)),
    "pointers": lambda p: p.arrays.update(operator_indptr=np.arange(5)),
    "empty row": lambda p: p.arrays.update(operator_indptr=np.array([0, 4, 4, 12, 16])),
    "data": lambda p: p.arrays.update(operator_data=np.ones((3, 15))),
    "no data": lambda p: p.arrays.pop("operator_data"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_malformed_problem_never_holds(name):
    case = sequence(1)
    problem = Packed(
        case.problem.kind, dict(case.problem.json), dict(case.problem.arrays)
    )
    HOSTILE[name](problem)
    decision = decide(ID, 1e300, Case(problem, case.value))
    assert not decision.holds
    assert decision.detail


def test_shape_of_the_answer_is_checked():
    case = sequence(1)
    for wrong in (np.zeros((2, 4)), np.zeros(4), np.zeros((3, 4), "f4"), None):
        value = {} if wrong is None else {"solutions": wrong}
        assert not decide(ID, 1e300, Case(case.problem, value)).holds
