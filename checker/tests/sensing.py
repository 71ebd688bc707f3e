"""Instances of matrix sensing for the judge's tests, and exact arithmetic on them."""

from fractions import Fraction

import numpy as np

from lemmata_checker import gaussian
from lemmata_checker.case import Case
from lemmata_checker.packed import Packed

N1, N2 = 4, 3


def packed(operator, *, planted=None, seed=0, psd=False, held_out=0, y=None, m=14):
    """A problem of each kind; y is A(M*) rounded, or noise."""
    rng = np.random.default_rng(seed)
    fields = {"operator": operator, "psd": psd, "rtol": 1e-8, "held_out": held_out}
    n1, n2 = (N1, N2) if planted is None else (len(planted[0]), len(planted[1]))
    arrays = {}
    if operator == "dense":
        arrays["matrices"] = rng.normal(size=(m, n1, n2))
    elif operator == "rank_one":
        arrays["left_vectors"] = rng.normal(size=(m, n1))
        arrays["right_vectors"] = rng.normal(size=(m, n2))
    else:
        fields |= {"rows": n1, "columns": n2}
    if operator == "gaussian":
        fields |= {"count": m, "key": seed}
    if operator in ("mask", "fourier"):
        index = rng.permutation(n1 * n2)[: min(m, n1 * n2 - 2)]
        arrays["row_index"], arrays["column_index"] = index // n2, index % n2
    problem = Packed("optimize.matrix_sensing/1", fields, arrays)
    if y is None:
        a = rows(problem, (n1, n2))
        if planted is None:
            y = rng.normal(size=len(a))
        else:
            y = a @ (planted[0] @ planted[1].T).reshape(-1)
    arrays["measurements"] = np.asarray(y, dtype=np.float64)
    if planted is None:
        return problem
    arrays["truth_left"], arrays["truth_right"] = planted
    return Packed("optimize.planted_sensing/1", fields, arrays)


def rows(problem, shape) -> np.ndarray:
    """The m x n1 n2 matrix, by definition of each operator; rounded where complex."""
    n1, n2 = shape
    fields, arrays = problem.json, problem.arrays
    match fields["operator"]:
        case "identity":
            return np.eye(n1 * n2)
        case "dense":
            return arrays["matrices"].reshape(-1, n1 * n2)
        case "rank_one":
            left, right = arrays["left_vectors"], arrays["right_vectors"]
            return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
        case "gaussian":
            return gaussian.rows(fields["key"], 0, fields["count"], n1 * n2)
    index = arrays["row_index"] * n2 + arrays["column_index"]
    if fields["operator"] == "mask":
        return np.eye(n1 * n2)[index]
    first = np.exp(-2j * np.pi * np.outer(range(n1), range(n1)) / n1)
    second = np.exp(-2j * np.pi * np.outer(range(n2), range(n2)) / n2)
    chosen = np.kron(first, second)[index]
    return np.concatenate([chosen.real, chosen.imag])


def exact_rows(problem, shape) -> list[list[Fraction]]:
    """The same without rounding (no Fourier)."""
    if problem.json["operator"] != "rank_one":
        return [[Fraction(v) for v in row] for row in rows(problem, shape).tolist()]
    pairs = zip(
        problem.arrays["left_vectors"].tolist(),
        problem.arrays["right_vectors"].tolist(),
        strict=True,
    )
    return [
        [Fraction(a) * Fraction(b) for a in left for b in right]
        for left, right in pairs
    ]


def exact_product(left, right) -> list[Fraction]:
    """L R', row by row."""
    one = [[Fraction(v) for v in row] for row in left.tolist()]
    two = [[Fraction(v) for v in row] for row in right.tolist()]
    return [
        sum((a * b for a, b in zip(p, q, strict=True)), Fraction(0))
        for p in one
        for q in two
    ]


def case(problem, left, right, *, witness=None, trace=None, **parameters) -> Case:
    return Case(
        problem,
        value={"left": left, "right": right},
        witness=witness or {},
        parameters=parameters,
        trace=trace or {},
    )


def semidefinite(n, sigma, seed=0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n, len(sigma))))[0]
    return basis * np.sqrt(sigma)


def descend(problem, left, right, eta, steps, *, order="simultaneous", symmetric=False):
    """Gradient descent in NumPy: all iterates, and the sum of squared steps."""
    shape = (len(left), len(right))
    a = rows(problem, shape)
    used = len(problem.arrays["measurements"])
    scale = {"identity": 1.0, "mask": shape[0] * shape[1] / used}.get(
        problem.json["operator"],
        (2 if problem.json["operator"] == "fourier" else 1) / used,
    )
    path, seen = 0.0, [(left, right)]
    for _ in range(steps):
        r = a @ (left @ right.T).reshape(-1) - problem.arrays["measurements"]
        e = scale * (r @ a).reshape(shape)
        new = left - eta * e @ right
        if symmetric:
            other = new
        else:
            other = right - eta * e.T @ (new if order == "in turn" else left)
        path += np.sum((new - left) ** 2) + np.sum((other - right) ** 2)
        left, right = new, other
        seen.append((left, right))
    return seen, path


def stacked_pairs(seen, places) -> np.ndarray:
    return np.stack(
        [
            np.stack([np.concatenate(seen[i]), np.concatenate(seen[i + 1])])
            for i in places
        ]
    )
