"""The local Lipschitz constant as a mixed-integer program, for SciPy's HiGHS.

Every ReLU has a binary a: z <= u a, z >= l (1 - a), big-M bounds on h; the products
g a of the backward pass are linear in g where a is binary; one more binary per input
carries the sign of the Jacobian's entry. Bounds by interval arithmetic. Dense ReLU
networks only.

Source: Jordan and Dimakis, NeurIPS 2020 (arXiv 2003.01219).
"""

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp


class _Program:
    def __init__(self) -> None:
        self.lower, self.upper, self.integer = [], [], []
        self.rows, self.low, self.high = [], [], []

    def variables(self, lower, upper, integer=False) -> np.ndarray:
        start = len(self.lower)
        lower, upper = np.broadcast_arrays(lower, upper)
        self.lower += list(lower.reshape(-1))
        self.upper += list(upper.reshape(-1))
        self.integer += [int(integer)] * lower.size
        return np.arange(start, len(self.lower))

    def require(self, terms, low=-np.inf, high=np.inf) -> None:
        """Low <= sum of coefficient times variable <= high."""
        self.rows.append(terms)
        self.low.append(low)
        self.high.append(high)

    def maximise(self, chosen: np.ndarray, seconds: float):
        size = len(self.lower)
        matrix = np.zeros((len(self.rows), size))
        for i, terms in enumerate(self.rows):
            for coefficient, variable in terms:
                matrix[i, variable] += coefficient
        cost = np.zeros(size)
        cost[chosen] = -1.0
        found = milp(
            cost,
            constraints=LinearConstraint(matrix, self.low, self.high),
            bounds=Bounds(self.lower, self.upper),
            integrality=self.integer,
            options={"time_limit": seconds},
        )
        dual = found.mip_dual_bound
        return found.status == 0, np.inf if dual is None else -dual


def exact_constant(layers, lower, upper, row: int, seconds: float = 60.0):
    """`(proved optimal, upper bound)` of one output of dense ReLU layers."""
    program = _Program()
    below = program.variables(lower, upper)
    lo, hi = np.asarray(lower), np.asarray(upper)
    on = []
    for weight, bias in layers[:-1]:
        mid, rad = weight @ (0.5 * (lo + hi)) + bias, np.abs(weight) @ (0.5 * (hi - lo))
        lo, hi = mid - rad, mid + rad
        below, switch = _relu(program, weight, bias, below, lo, hi)
        on.append((switch, lo, hi))
        lo, hi = np.maximum(lo, 0), np.maximum(hi, 0)
    p = q = layers[-1][0][row]
    g = program.variables(p, q)
    for (weight, _), (switch, _, _) in zip(layers[-2::-1], on[::-1], strict=True):
        g, p, q = _pulled(program, weight, g, p, q, switch)
    size = np.maximum(np.abs(p), np.abs(q))
    length, sign = (
        program.variables(0.0, size),
        program.variables(0, np.ones(len(p)), True),
    )
    for i in range(len(p)):
        m = 2 * size[i]
        program.require([(1, length[i]), (-1, g[i]), (m, sign[i])], high=m)
        program.require([(1, length[i]), (1, g[i]), (-m, sign[i])], high=0.0)
    return program.maximise(length, seconds)


def _relu(program, weight, bias, below, lo, hi):
    h = program.variables(0.0, np.maximum(hi, 0.0))
    switch = program.variables((lo > 0) * 1.0, (hi >= 0) * 1.0, True)
    for j in range(len(bias)):
        z = list(zip(weight[j], below, strict=True))
        minus = [(-c, v) for c, v in z]
        program.require([*z, (-hi[j], switch[j])], high=-bias[j])
        program.require([*z, (lo[j], switch[j])], low=lo[j] - bias[j])
        program.require([(1, h[j]), *minus], low=bias[j])
        program.require([(1, h[j]), *minus, (-lo[j], switch[j])], high=bias[j] - lo[j])
        program.require([(1, h[j]), (-hi[j], switch[j])], high=0.0)
    return h, switch


def _pulled(program, weight, g, p, q, switch):
    """J = (g a) W, with bounds on its entries."""
    down, up = np.minimum(p, 0), np.maximum(q, 0)
    product = program.variables(down, up)
    for j in range(len(g)):
        a, b = product[j], switch[j]
        program.require([(1, a), (-q[j], b)], high=0.0)
        program.require([(1, a), (-p[j], b)], low=0.0)
        program.require([(1, a), (-1, g[j]), (-p[j], b)], high=-p[j])
        program.require([(1, a), (-1, g[j]), (-q[j], b)], low=-q[j])
    mid, rad = 0.5 * (down + up) @ weight, 0.5 * (up - down) @ np.abs(weight)
    entries = program.variables(mid - rad, mid + rad)
    for i in range(weight.shape[1]):
        terms = list(zip(weight[:, i], product, strict=True))
        program.require([*terms, (-1, entries[i])], low=0.0, high=0.0)
    return entries, mid - rad, mid + rad
