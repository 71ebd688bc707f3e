"""Exact local Lipschitz constants of tiny ReLU networks, by going through patterns.

Shares nothing with the library: dense matrices, one linear program per sign pattern.
"""

import itertools
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog


def layers_of(content, arrays):
    """Weights and biases of dense layers with ReLUs between them."""
    return [
        (arrays[r["weight"]], arrays[r["bias"]])
        for r in content["nodes"]
        if r["op"] == "dense"
    ]


def pieces(layers, lower, upper):
    """Jacobians (K, d) of every linear piece that has an inner point in the box."""
    d = len(lower)

    def inside(constraints):
        rows = np.vstack([a for a, _ in constraints])
        offsets = np.concatenate([b for _, b in constraints])
        size = np.abs(rows).sum(axis=1) + 1e-300
        system = np.hstack([-rows / size[:, None], np.ones((len(rows), 1))])
        limits = [*zip(lower, upper, strict=True), (None, 1)]
        cost = np.r_[np.zeros(d), -1.0]
        found = linprog(cost, A_ub=system, b_ub=offsets / size, bounds=limits)
        return found.status == 0 and found.x[-1] > 1e-9

    def go(k, a, b, constraints):
        weight, bias = layers[k]
        a, b = weight @ a, weight @ b + bias
        if k == len(layers) - 1:
            yield a
            return
        for pattern in itertools.product((1.0, -1.0), repeat=len(b)):
            sign = np.array(pattern)
            wider = [*constraints, (sign[:, None] * a, sign * b)]
            if inside(wider):
                on = sign > 0
                yield from go(k + 1, on[:, None] * a, on * b, wider)

    yield from go(0, np.eye(d), np.zeros(d), [])


def norm_at(layers, point):
    """l_1 norms of the rows of the Jacobian at a point, exactly; None at a kink."""
    h = [Fraction(x) for x in point.tolist()]
    rows = [[Fraction(int(i == j)) for j in range(len(h))] for i in range(len(h))]
    for k, (weight, bias) in enumerate(layers):
        w = [[Fraction(x) for x in row] for row in weight.tolist()]
        h = [
            sum(a * b for a, b in zip(row, h, strict=True)) + Fraction(c)
            for row, c in zip(w, bias.tolist(), strict=True)
        ]
        columns = list(zip(*rows, strict=True))
        rows = [
            [sum(a * b for a, b in zip(row, column, strict=True)) for column in columns]
            for row in w
        ]
        if k < len(layers) - 1:
            if any(abs(z) < Fraction(1, 10**12) for z in h):
                return None
            rows = [
                row if z > 0 else [Fraction(0)] * len(row)
                for row, z in zip(rows, h, strict=True)
            ]
            h = [max(z, Fraction(0)) for z in h]
    return [sum(map(abs, row)) for row in rows]
