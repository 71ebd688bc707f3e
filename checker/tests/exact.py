"""Independent oracles in ball arithmetic, entry by entry, for tiny cases."""

import contextlib
import itertools
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from flint import arb, ctx, fmpq


@contextlib.contextmanager
def precision(bits: int = 400) -> Iterator[None]:
    old, ctx.prec = ctx.prec, bits
    yield
    ctx.prec = old


def ball(value) -> arb:
    value = value if isinstance(value, Fraction) else Fraction(float(value))
    return arb(fmpq(value.numerator, value.denominator))


def shares(weights: np.ndarray) -> list[Fraction]:
    total = sum(map(Fraction, weights.tolist()), Fraction(0))
    return [Fraction(w) / total for w in weights.tolist()]


def cost(packed) -> list[list[arb]]:
    arrays, json = packed.arrays, packed.json
    if "cost" in arrays:
        return [[ball(c) for c in row] for row in arrays["cost"]]
    scale, name = ball(json["cost_scale"]), json["metric"]

    def between(p, q):
        gaps = [ball(a) - ball(b) for a, b in zip(p, q, strict=True)]
        if name == "cityblock":
            return scale * sum((abs(g) for g in gaps), arb(0))
        square = sum((g * g for g in gaps), arb(0))
        return scale * (square if name == "sqeuclidean" else square.sqrt())

    points = arrays["source_points"], arrays["target_points"]
    return [[between(p, q) for q in points[1]] for p in points[0]]


def kernel(packed, value) -> list[list[arb]]:
    """exp((x_i + y_j - C_ij)/epsilon - 1) between atoms of positive weight, else 0."""
    c, epsilon = cost(packed), ball(packed.json["epsilon"])
    r, q = packed.arrays["source"], packed.arrays["target"]
    x, y = value["row_potential"], value["column_potential"]
    return [
        [
            ((ball(x[i]) + ball(y[j]) - c[i][j]) / epsilon - 1).exp()
            if r[i] > 0 and q[j] > 0
            else arb(0)
            for j in range(q.size)
        ]
        for i in range(r.size)
    ]


def plan(packed, value) -> list[list[arb]]:
    if "plan" in value:
        return [[ball(p) for p in row] for row in value["plan"]]
    r, q = packed.arrays["source"], packed.arrays["target"]
    if "rows" in value:
        found = [[arb(0)] * q.size for _ in range(r.size)]
        triples = (value[name].tolist() for name in ("rows", "columns", "mass"))
        for i, j, p in zip(*triples, strict=True):
            found[i][j] = found[i][j] + ball(p)
        return found
    k = kernel(packed, value)
    s, t = value["row_scaling"], value["column_scaling"]
    a, b = value["row_remainder"], value["column_remainder"]
    total = sum(map(ball, a), arb(0))
    some = a.any() and b.any()

    def entry(i, j):
        rest = ball(a[i]) * ball(b[j]) / total if some else arb(0)
        return ball(s[i]) * ball(t[j]) * k[i][j] + rest

    return [[entry(i, j) for j in range(q.size)] for i in range(r.size)]


def sums(matrix) -> tuple[list[arb], list[arb]]:
    rows = [sum(row, arb(0)) for row in matrix]
    return rows, [sum(column, arb(0)) for column in zip(*matrix, strict=True)]


def violation(packed, value) -> arb:
    rows, columns = sums(plan(packed, value))
    r, q = shares(packed.arrays["source"]), shares(packed.arrays["target"])
    gaps = [abs(p - ball(w)) for p, w in zip(rows + columns, r + q, strict=True)]
    return sum(gaps, arb(0))


def base(packed, value) -> arb:
    r, q = shares(packed.arrays["source"]), shares(packed.arrays["target"])
    x, y = value["row_potential"], value["column_potential"]
    terms = [ball(w) * ball(v) for w, v in zip(r + q, [*x, *y], strict=True)]
    return sum(terms, arb(0))


def dual(packed, value) -> arb:
    """f(x, y)."""
    mass = sum(sums(kernel(packed, value))[0], arb(0))
    return base(packed, value) - ball(packed.json["epsilon"]) * mass


def repaired(packed, matrix, theta, phi) -> list[list[arb]]:
    """theta P phi plus the rank-one plan of its deficits, which must exist."""
    r, q = shares(packed.arrays["source"]), shares(packed.arrays["target"])
    scaled = [
        [ball(a) * p * ball(b) for p, b in zip(row, phi, strict=True)]
        for row, a in zip(matrix, theta, strict=True)
    ]
    rows, columns = sums(scaled)
    rho = [ball(w) - p for w, p in zip(r, rows, strict=True)]
    kappa = [ball(w) - p for w, p in zip(q, columns, strict=True)]
    assert all(not (gap < 0) for gap in rho + kappa)
    omega = sum(rho, arb(0))
    if not omega > 0:
        return scaled
    return [
        [p + a * b / omega for p, b in zip(row, kappa, strict=True)]
        for row, a in zip(scaled, rho, strict=True)
    ]


def primal(packed, matrix, epsilon: float) -> arb:
    """<C, P> + epsilon sum P log P."""
    total, c = arb(0), cost(packed)
    for row, costs in zip(matrix, c, strict=True):
        for p, price in zip(row, costs, strict=True):
            total += p * price
            if epsilon and p > 0:
                total += ball(epsilon) * p * p.log()
    return total


def assignment(packed, units: list[int], others: list[int]) -> arb:
    """The optimal cost for integer weights, over all matchings of their units."""
    c = cost(packed)
    sources = [i for i, count in enumerate(units) for _ in range(count)]
    targets = [j for j, count in enumerate(others) for _ in range(count)]
    values = [
        sum((c[i][j] for i, j in zip(sources, order, strict=True)), arb(0))
        for order in set(itertools.permutations(targets))
    ]
    best = values[0]
    for value in values[1:]:
        best = value if value < best else best
    return best / len(sources)


def transform(packed, value):
    """The better c-transform bound, exactly, as an upper bound on LB."""
    c = cost(packed)
    r, q = (shares(packed.arrays[k]) for k in ("source", "target"))
    x, y = (value[f"{k}_potential"] for k in ("row", "column"))
    rows = [i for i, w in enumerate(r) if w > 0]
    columns = [j for j, w in enumerate(q) if w > 0]
    first = sum(ball(r[i]) * ball(x[i]) for i in rows)
    for j in columns:
        first += ball(q[j]) * least(c[i][j] - ball(x[i]) for i in rows)
    second = sum(ball(q[j]) * ball(y[j]) for j in columns)
    for i in rows:
        second += ball(r[i]) * least(c[i][j] - ball(y[j]) for j in columns)
    return first if first > second else second


def least(values):
    best = None
    for value in values:
        best = value if best is None or value < best else best
    return best
