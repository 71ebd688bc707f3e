"""Grid operator, descent, conjugacy, contraction, network losses: against fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from lemmata_checker import Packed
from lemmata_checker.case import Case, Malformed, decide
from lemmata_checker.rules.linear_directions import (
    convolve,
    forward,
    layers_of,
    shapes_of,
)
from lemmata_checker.rules.linear_grid import grid_operator

SEEDS = st.integers(0, 2**32 - 1)


def grid(cells, rhs, spacing=1.0, **json):
    arrays = {
        "cells": np.asarray(cells, np.uint8),
        "rhs": np.asarray(rhs, np.float64),
    }
    parameters = {"spacing": float(spacing), "rtol": 1e-8} | json
    return Packed("linear.grid_poisson/1", parameters, arrays)


def drawn(seed, dim=2):
    """A grid whose corner cells are air, so that A is definite, and a right side."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 5, size=dim))
    cells = rng.choice([0, 1, 1, 1, 2], size=shape)
    cells.flat[0] = 1
    rhs = rng.normal(size=shape) * (cells == 1)
    return grid(cells, rhs, rng.uniform(0.3, 3.0)), rng


def exact_rows(problem):
    """The matrix from the definition, cell by cell."""
    cells, h = problem.arrays["cells"], Fraction(problem.json["spacing"])
    number = np.arange(cells.size).reshape(cells.shape)
    rows = []
    for place in np.ndindex(cells.shape):
        row, open_faces = {}, 0
        for axis in range(cells.ndim):
            for step in (-1, 1):
                beside = list(place)
                beside[axis] += step
                inside = 0 <= beside[axis] < cells.shape[axis]
                code = cells[tuple(beside)] if inside else 0
                open_faces += code != 2
                if code == 1 and cells[place] == 1:
                    row[int(number[tuple(beside)])] = -1 / h**2
        live = cells[place] == 1 and open_faces
        row = row if live else {}
        row[int(number[place])] = (open_faces if live else 2 * cells.ndim) / h**2
        rows.append(row)
    return rows


def times(rows, x):
    return [sum(c * Fraction(x[j]) for j, c in row.items()) for row in rows]


def dot(a, b):
    return sum(
        (Fraction(u) * Fraction(v) for u, v in zip(a, b, strict=True)), Fraction()
    )


@given(SEEDS, st.sampled_from([2, 3]))
@settings(max_examples=40, deadline=None)
def test_products_enclose_the_stencil(seed, dim):
    problem, rng = drawn(seed, dim)
    x = rng.normal(size=problem.arrays["cells"].size) * 10.0 ** rng.integers(-9, 9)
    found = grid_operator(problem).product(x)
    for exact, value, error in zip(
        times(exact_rows(problem), x.tolist()),
        found.value.tolist(),
        found.error.tolist(),
        strict=True,
    ):
        assert abs(exact - Fraction(value)) <= Fraction(error)


def descending(problem, rng, count=4):
    """Steepest descent from zero, in floats: x and the decrements."""
    rows = exact_rows(problem)
    dense = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        for j, c in row.items():
            dense[i, j] = float(c)
    b = problem.arrays["rhs"].reshape(-1)
    x, decrements = np.zeros(b.size), []
    for _ in range(count):
        d = (b - dense @ x) if not decrements else rng.normal(size=b.size)
        gain, curvature = (b - dense @ x) @ d, d @ dense @ d
        x = x + gain / curvature * d
        decrements.append(gain**2 / curvature)
    return dense, x, np.asarray(decrements)


def energy(problem, x, decrements, **witness):
    case = Case(problem, {"solution": x}, {"decrement": decrements} | witness)
    return decide("linear.energy_descent/1", 1e-9, case)


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_descent_is_bounded_from_above(seed):
    problem, rng = drawn(seed)
    if not np.any(problem.arrays["rhs"]):
        return
    _, x, decrements = descending(problem, rng)
    found = energy(problem, x, decrements)
    rows, b = exact_rows(problem), problem.arrays["rhs"].reshape(-1).tolist()
    exact = 2 * dot(b, x.tolist()) - dot(x.tolist(), times(rows, x.tolist()))
    mismatch = abs(sum(map(Fraction, decrements.tolist())) - exact) / exact
    assert found.holds
    assert mismatch <= Fraction(found.measured)
    # from a start of its own: phi is counted from there
    start = rng.normal(size=x.size)
    assert not energy(problem, x, decrements, start=start).holds


@pytest.mark.parametrize("forgery", ["sign", "extra", "answer", "scale"])
def test_forged_descent_is_rejected(forgery):
    problem, rng = drawn(5)
    _, x, decrements = descending(problem, rng)
    if forgery == "sign":
        decrements[1] = -decrements[1]
    elif forgery == "extra":
        decrements = np.append(decrements, 1e-6)
    elif forgery == "answer":
        x[np.flatnonzero(x)[0]] += 1e-2
    else:
        decrements = decrements * (1 + 1e-8)
    assert not energy(problem, x, decrements).holds


def test_descent_of_an_asymmetric_matrix_is_refused():
    arrays = {"operator": np.array([[2.0, 1.0], [0.0, 2.0]]), "rhs": np.ones(2)}
    problem = Packed("linear.spd_system/1", {"rtol": 1e-8}, arrays)
    assert not energy(problem, np.full(2, 0.5), np.array([1.0])).holds


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_conjugacy_is_bounded_from_above(seed):
    problem, rng = drawn(seed)
    rows = exact_rows(problem)
    d = rng.normal(size=(3, len(rows)))
    found = decide("linear.conjugacy/1", 1e-8, Case(problem, {}, {"directions": d}))
    images = [times(rows, v) for v in d.tolist()]
    pairs = [(0, 1), (0, 2), (1, 2)]
    worst = max(
        dot(d[i], images[j]) ** 2 / (dot(d[i], images[i]) * dot(d[j], images[j]))
        for i, j in pairs
    )
    assert worst <= Fraction(found.measured) ** 2
    assert not found.holds


def test_conjugate_directions_hold_and_a_bent_one_does_not():
    problem, rng = drawn(3)
    dense, *_ = descending(problem, rng)
    d = np.linalg.eigh(dense)[1].T[:3].copy()

    def judged(d):
        case = Case(problem, {}, {"directions": d})
        return decide("linear.conjugacy/1", 1e-8, case).holds

    assert judged(d)
    bent = d.copy()
    bent[0] += 1e-6 * d[1]
    assert not judged(bent)
    assert not judged(d * [[1], [0], [1]])
    assert not judged(d[:1])


@given(SEEDS)
@settings(max_examples=30, deadline=None)
def test_contraction_is_not_below_the_true_one(seed):
    problem, rng = drawn(seed)
    if not np.any(problem.arrays["rhs"]):
        return
    dense, x, _ = descending(problem, rng, 6)
    exact = np.linalg.solve(dense, problem.arrays["rhs"].reshape(-1))
    v = np.linalg.solve(dense, np.ones(x.size))
    error = x - exact
    true = np.sqrt((error @ dense @ error) / (exact @ dense @ exact))
    case = Case(problem, {"solution": x}, {"positive_vector": v})
    found = decide("linear.contraction/1", 1.0, case)
    assert found.measured >= true * (1 - 1e-9)  # float64 oracle, tiny systems
    negative = Case(problem, {"solution": x}, {"positive_vector": -v})
    assert not decide("linear.contraction/1", 1.0, negative).holds


def test_convolution_is_the_sum_over_neighbours():
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.normal(size=(4, 3, 2)),
        rng.normal(size=(3, 3, 2, 5)),
        rng.normal(size=5),
    )
    found = convolve(x, w, b)
    for i, j in np.ndindex(4, 3):
        total = b.copy()
        for k, m in np.ndindex(3, 3):
            a, c = i + k - 1, j + m - 1
            if 0 <= a < 4 and 0 <= c < 3:
                total += x[a, c] @ w[k, m]
        # sums of 18 products of order one, in another order
        np.testing.assert_allclose(found[i, j], total, atol=1e-13)


def training(rng, vectors):
    sizes = {"channels": 2, "levels": 1, "depths": [2, 2, 2], "bias": True}
    arrays = {"cells": np.ones((4, 5), np.uint8), "validation": vectors}
    problem = Packed("linear.direction_training/1", sizes | {"loss_tol": 0.5}, arrays)
    shapes = shapes_of(sizes | {"dim": 2})
    value = {}
    for k, shape in enumerate(shapes):
        value[f"weight_{k:02d}"] = rng.normal(size=shape).astype(np.float32)
        value[f"bias_{k:02d}"] = rng.normal(size=shape[-1:]).astype(np.float32)
    return problem, value, sizes | {"dim": 2}


def test_validation_loss_is_that_of_the_formula():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(3, 20)).astype(np.float32)
    problem, value, sizes = training(rng, vectors)
    case = Case(problem, value, parameters={"vectors": 3})
    found = decide("linear.validation_loss/1", 10.0, case)
    dense = np.zeros((20, 20))
    for i, row in enumerate(exact_rows(grid(np.ones((4, 5)), np.zeros((4, 5))))):
        for j, c in row.items():
            dense[i, j] = float(c)
    losses = []
    for b in vectors.astype(float):
        b = b / np.linalg.norm(b)
        q = forward(layers_of(sizes, value), sizes, b.reshape(4, 5)).reshape(-1)
        s = (q @ b) / (q @ dense @ q)
        losses.append(np.sum((b - s * dense @ q) ** 2))
    assert found.holds
    assert found.measured == pytest.approx(np.mean(losses), rel=1e-10)


@pytest.mark.parametrize("fault", ["nan", "shape", "missing", "count", "zero"])
def test_malformed_networks_do_not_hold(fault):
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(2, 20)).astype(np.float32)
    problem, value, _ = training(rng, vectors)
    count = 2
    if fault == "nan":
        value["weight_01"][0, 0, 0, 0] = np.nan
    elif fault == "shape":
        value["bias_00"] = value["bias_00"][:1]
    elif fault == "missing":
        del value["weight_02"]
    elif fault == "count":
        count = 3
    else:
        vectors[1] = 0
    case = Case(problem, value, parameters={"vectors": count})
    assert not decide("linear.validation_loss/1", 1e9, case).holds


def test_size_independence_is_a_ratio():
    def judged(steps, cells):
        witness = {"steps": np.array(steps), "cells": np.array(cells)}
        return decide(
            "linear.size_independence/1", 2.0, Case(grid([[1]], [[0]]), {}, witness)
        )

    assert judged([10, 12, 19], [16, 64, 256]).measured == 1.9
    assert judged([10, 12, 19], [16, 64, 256]).holds
    assert not judged([10, 12, 21], [16, 64, 256]).holds
    assert not judged([10, 12], [64, 16]).holds
    assert not judged([10], [16]).holds
    assert not judged([0, 0], [16, 64]).holds


def test_malformed_grids():
    for name, array in (
        ("cells", np.ones((2, 2))),
        ("cells", np.full((2, 2), 3, np.uint8)),
        ("cells", np.ones(4, np.uint8)),
    ):
        problem = grid(np.ones((2, 2)), np.ones((2, 2)))
        problem.arrays[name] = array
        with pytest.raises(Malformed):
            grid_operator(problem)
    with pytest.raises(Malformed):
        grid_operator(grid(np.ones((2, 2)), np.ones((2, 2)), 0.0))
