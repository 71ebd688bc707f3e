"""Networks with one hidden layer, and their inequality in fractions."""

from fractions import Fraction as F

import numpy as np

from lemmata_checker.case import Case
from lemmata_checker.packed import Packed


def network(rng, sizes=(2, 4, 2), op="group_sort", **options):
    nodes, arrays = [], {}
    for i, (size, following) in enumerate(zip(sizes, sizes[1:], strict=False)):
        k, name = len(nodes), f"w{i}"
        arrays[name] = rng.normal(size=(following, size))
        nodes.append({"op": "dense", "inputs": [k - 1], "weight": name})
        nodes.append({"op": op, "inputs": [k]} | options)
    return {"input_shape": [sizes[0]], "nodes": nodes[:-1]}, arrays


def case_of(content, arrays, norm="l2", output="all", **value):
    json = {"network": content, "norm": norm, "output": output}
    packed = Packed("certify.global_lipschitz/1", json, arrays)
    value = {name: np.asarray(array) for name, array in value.items()}
    return Case(packed, {"form": np.asarray(0), **value})


def ample(arrays, count, factor=2.0):
    """Multipliers that show some bound: the square of the last layer's norm."""
    top = np.linalg.norm(arrays["w1"], 2) ** 2
    return np.full(count, factor * top)


def exact_matrix(content, arrays, multipliers, s):
    """The inequality of one hidden layer of MaxMin or ReLU, in fractions."""
    first, last = (
        [[F(x) for x in row] for row in arrays[k].tolist()] for k in ("w0", "w1")
    )
    d, n = len(first[0]), len(first)
    relu = content["nodes"][1]["op"] == "relu"
    count = n if relu else n // 2
    size = d + count
    rows = [[*row, *[F(0)] * count] for row in first]
    unit = [[F(int(i == d + j)) for i in range(size)] for j in range(count)]
    out, squares = [], []
    lam = [F(x) for x in multipliers.tolist()]
    if relu:  # p = z / 2 + w / 2, w^2 <= z^2
        for j in range(n):
            out.append([(a + b) / 2 for a, b in zip(rows[j], unit[j], strict=True)])
            squares += [(-lam[j], rows[j]), (lam[j], unit[j])]
    else:  # half the sum, plus and minus y, with 2 y^2 <= (z_1 - z_2)^2 / 2
        for j in range(count):
            a, b, y = rows[2 * j], rows[2 * j + 1], unit[j]
            mean = [(p + q) / 2 for p, q in zip(a, b, strict=True)]
            apart = [p - q for p, q in zip(a, b, strict=True)]
            out.append([m + t for m, t in zip(mean, y, strict=True)])
            out.append([m - t for m, t in zip(mean, y, strict=True)])
            squares += [(-lam[j] / 2, apart), (2 * lam[j], y)]
    for row in last:
        final = [
            sum(w * o[i] for w, o in zip(row, out, strict=True)) for i in range(size)
        ]
        squares.append((F(-1), final))
    return [
        [
            sum(c * u[i] * u[j] for c, u in squares) + (s if i == j and i < d else 0)
            for j in range(size)
        ]
        for i in range(size)
    ]


def semidefinite(matrix):
    """Exact LDL'."""
    matrix = [list(row) for row in matrix]
    for k in range(len(matrix)):
        pivot = matrix[k][k]
        if pivot < 0 or (
            pivot == 0 and any(matrix[k][j] for j in range(k, len(matrix)))
        ):
            return False
        if pivot == 0:
            continue
        for i in range(k + 1, len(matrix)):
            share = matrix[i][k] / pivot
            matrix[i] = [
                a - share * b for a, b in zip(matrix[i], matrix[k], strict=True)
            ]
    return True


def run(arrays, x):
    z = x @ arrays["w0"].T
    z = -np.sort(-z.reshape(*z.shape[:-1], -1, 2), axis=-1).reshape(z.shape)
    return z @ arrays["w1"].T


def exact_run(arrays, x):
    w = {k: [[F(v) for v in row] for row in a.tolist()] for k, a in arrays.items()}
    z = [sum(a * F(b) for a, b in zip(row, x, strict=True)) for row in w["w0"]]
    z = [v for i in range(0, len(z), 2) for v in sorted(z[i : i + 2], reverse=True)]
    return [sum(a * b for a, b in zip(row, z, strict=True)) for row in w["w1"]]
